//! A certificate that lives as long as its server, and who believes it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use strowger_shell::tls::{TlsFiles, TlsServer};

/// Whose certificate it is.
pub(crate) const NAME: &str = "localhost";

/// A certificate in a directory of its own.
pub(crate) struct Certificate {
    dir: PathBuf,
    pub(crate) server: TlsServer,
}

impl Certificate {
    /// A new one.
    pub(crate) fn new() -> Certificate {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("strowger-runtimes-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let files = write(&dir);
        Certificate { dir, server: TlsServer::open(files).expect("a certificate") }
    }

    /// Puts another one with another key in its place; the server does not know yet.
    pub(crate) fn renew(&self) {
        write(&self.dir);
    }

    /// Puts something in its place that is no certificate.
    pub(crate) fn spoil(&self) {
        std::fs::write(&self.server.files().certificate, "no certificate").expect("written");
    }

    /// A phone that believes what is there now, and nothing else.
    pub(crate) fn believer(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let own = CertificateDer::from_pem_file(&self.server.files().certificate).expect("a certificate");
        roots.add(own).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }

    /// Where it lies.
    pub(crate) fn authority(&self) -> PathBuf {
        self.server.files().certificate.clone()
    }
}

fn write(dir: &std::path::Path) -> TlsFiles {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
    let put = |name: &str, text: String| {
        std::fs::write(dir.join(name), text).expect("written");
        dir.join(name)
    };
    TlsFiles {
        certificate: put("cert.pem", made.cert.pem()),
        key: put("key.pem", made.signing_key.serialize_pem()),
        ..TlsFiles::default()
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

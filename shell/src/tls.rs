//! Certificates: what we show to peers, whom we believe, and how both change while the server runs (RFC 3261 s26.3.1,
//! RFC 5922).
//!
//! Everything is read from PEM files once, when a [`TlsServer`] or a [`TlsClient`] is made, and again on
//! [`TlsServer::reload`]. A reload that fails leaves what was there; connections that are up keep what they agreed on.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::{fmt, io};

use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use strowger_core::door::PeerIdentity;
use thiserror::Error;

/// Sessions that can be taken up again, of all peers together.
const SESSIONS: usize = 10_000;

/// Where certificates are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TlsFiles {
    /// The certificate and those between it and the authority, in that order.
    pub certificate: PathBuf,
    /// Its key: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
    /// The authorities whose client certificates are believed; none are asked for without.
    pub client_authorities: Option<PathBuf>,
    /// Peers without a certificate are refused.
    pub client_required: bool,
}

/// Why certificates cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file has nothing of what is looked for.
    #[error("{path}: no {what} in PEM format is in this file")]
    Missing {
        /// Which file.
        path: PathBuf,
        /// What should be in it.
        what: &'static str,
    },
    /// The file is no PEM.
    #[error("{path}: {what}")]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// What is in the files does not go together, or cannot be used.
    #[error("{path}: {source}")]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: rustls::Error,
    },
    /// The system's own certificates cannot be used.
    #[error("the certificates of this machine cannot be used: {0}")]
    Platform(rustls::Error),
}

/// The server's side of TLS. Cheap to clone; all clones change with a reload.
#[derive(Clone)]
pub struct TlsServer {
    files: Arc<TlsFiles>,
    current: Arc<RwLock<Arc<ServerConfig>>>,
}

impl TlsServer {
    /// Reads certificates and keys.
    pub fn open(files: TlsFiles) -> Result<TlsServer, TlsError> {
        let config = server_config(&files)?;
        Ok(TlsServer { files: Arc::new(files), current: Arc::new(RwLock::new(Arc::new(config))) })
    }

    /// What it reads.
    pub fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// Reads them again; new connections get what is there now. After a failure everything stays as it was.
    pub fn reload(&self) -> Result<(), TlsError> {
        let config = Arc::new(server_config(&self.files)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    pub(crate) fn accept(&self) -> Option<rustls::Connection> {
        Some(self.session()?.into())
    }

    /// The server's side of a new connection, for what is not SIP and shows the same certificate.
    pub fn session(&self) -> Option<ServerConnection> {
        let config = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        ServerConnection::new(config).ok()
    }
}

impl PartialEq for TlsServer {
    fn eq(&self, other: &TlsServer) -> bool {
        self.files == other.files
    }
}

impl Eq for TlsServer {}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsServer").field("files", &self.files).finish_non_exhaustive()
    }
}

/// Our side of TLS connections that we open.
#[derive(Clone)]
pub struct TlsClient(Arc<ClientConfig>);

impl TlsClient {
    /// Believes the authorities in this file, or without one those that the machine believes. `own` is shown to servers
    /// that ask for a certificate.
    pub fn open(authorities: Option<&Path>, own: Option<&TlsFiles>) -> Result<TlsClient, TlsError> {
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Platform)?;
        let verified = match authorities {
            Some(path) => builder.with_root_certificates(roots(path)?),
            None => {
                let verifier =
                    rustls_platform_verifier::Verifier::new(provider).map_err(TlsError::Platform)?;
                let verifier: Arc<dyn ServerCertVerifier> = Arc::new(verifier);
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
        };
        let config = match own {
            Some(files) => verified
                .with_client_auth_cert(certificates(&files.certificate)?, key(&files.key)?)
                .map_err(|source| TlsError::Unusable { path: files.certificate.clone(), source })?,
            None => verified.with_no_client_auth(),
        };
        Ok(TlsClient(Arc::new(config)))
    }

    /// A connection to who must prove to be `name`: a host name, or an address.
    pub(crate) fn connect(&self, name: &str) -> Option<rustls::Connection> {
        let name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned()).ok()?;
        Some(ClientConnection::new(self.0.clone(), name).ok()?.into())
    }
}

impl PartialEq for TlsClient {
    fn eq(&self, other: &TlsClient) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for TlsClient {}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsClient")
    }
}

/// The names a verified certificate proves: RFC 5922 s7.1, subject alternative names of type DNS and URI.
pub(crate) fn identity(certificate: &CertificateDer<'_>) -> Option<PeerIdentity> {
    let parsed = webpki::EndEntityCert::try_from(certificate).ok()?;
    let names = parsed.valid_dns_names().chain(parsed.valid_uri_names());
    Some(PeerIdentity { names: names.map(|name| name.to_ascii_lowercase().into()).collect() })
}

/// Named at every use: a program with two of them has no default.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn server_config(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let provider = provider();
    let unusable = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Unusable { path, source }
    };
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Platform)?;
    let asking = match &files.client_authorities {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(path)?), provider);
            let verifier = match files.client_required {
                true => verifier,
                false => verifier.allow_unauthenticated(),
            };
            let no_roots = |_| TlsError::Missing { path: path.clone(), what: "certificate" };
            builder.with_client_cert_verifier(verifier.build().map_err(no_roots)?)
        }
    };
    let mut config = asking
        .with_single_cert(certificates(&files.certificate)?, key(&files.key)?)
        .map_err(unusable(&files.certificate))?;
    config.session_storage = rustls::server::ServerSessionMemoryCache::new(SESSIONS);
    // One is enough for a phone that comes back; each costs a signature's worth of bytes on the way.
    config.send_tls13_tickets = 1;
    Ok(config)
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|source| TlsError::Unusable { path: path.to_owned(), source })?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let all = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(TlsError::Missing { path: path.to_owned(), what: "certificate" }),
        Err(fault) => Err(bad_pem(path, &fault)),
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|fault| match fault {
        pem::Error::NoItemsFound => TlsError::Missing { path: path.to_owned(), what: "private key" },
        fault => bad_pem(path, &fault),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

/// The fault without any of the file's bytes: they may be those of a key.
fn bad_pem(path: &Path, fault: &pem::Error) -> TlsError {
    let what = match fault {
        pem::Error::MissingSectionEnd { .. } => "a PEM section has no end",
        pem::Error::IllegalSectionStart { .. } => "a PEM section begins wrongly",
        pem::Error::Base64Decode(_) => "a PEM section is not base64",
        _ => "this is not PEM",
    };
    TlsError::Pem { path: path.to_owned(), what: what.into() }
}

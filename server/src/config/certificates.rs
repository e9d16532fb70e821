//! `[tls]`: which certificates are shown and believed.

use std::path::PathBuf;

use strowger_core::config::{ConfigError, ListenerConfig};
use strowger_shell::options::StreamOptions;
use strowger_shell::tls::{TlsClient, TlsFiles, TlsServer};

use super::file;
use crate::cli::Complaint;

/// The section, understood; the files are not opened yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificates {
    /// What we show, and whose client certificates we believe.
    pub files: TlsFiles,
    /// Whose servers we believe; `None`: those the machine believes.
    pub authorities: Option<PathBuf>,
}

pub(super) fn map(
    from: Option<file::Tls>,
    listeners: &[ListenerConfig],
    errors: &mut Vec<ConfigError>,
) -> Option<Certificates> {
    let Some(from) = from else {
        for (i, listener) in listeners.iter().enumerate().filter(|(_, one)| one.transport.is_secure()) {
            let proto = listener.transport.name();
            errors.push(ConfigError {
                path: format!("listeners[{i}]"),
                message: format!("{proto} needs a certificate: write [tls] with certificate and key"),
            });
        }
        return None;
    };
    let required = matches!(from.client_certificates, file::ClientCertificates::Required);
    if from.client_authorities.is_none() && required {
        errors.push(ConfigError {
            path: "tls.client_certificates".into(),
            message: "say with client_authorities whose certificates are believed".into(),
        });
    }
    let files = TlsFiles {
        certificate: from.certificate,
        key: from.key,
        client_authorities: from.client_authorities,
        client_required: required,
    };
    Some(Certificates { files, authorities: from.authorities })
}

/// What is shown over HTTP: a certificate of its own, or that of `[tls]`.
pub(super) fn of_http(
    from: &file::Http,
    shared: Option<&Certificates>,
    errors: &mut Vec<ConfigError>,
) -> Option<TlsFiles> {
    let mut refuse = |key: &str, message: &str| {
        errors.push(ConfigError { path: format!("http.{key}"), message: message.into() });
        None
    };
    match (from.tls, &from.certificate, &from.key) {
        (false, None, None) => None,
        (false, ..) => refuse("tls", "a certificate is of use with tls = true only"),
        (true, Some(certificate), Some(key)) => {
            Some(TlsFiles { certificate: certificate.clone(), key: key.clone(), ..TlsFiles::default() })
        }
        (true, None, None) => match shared {
            Some(shared) => Some(shared.files.clone()),
            None => refuse("tls", "needs certificate and key, here or in [tls]"),
        },
        (true, Some(_), None) => refuse("certificate", "needs its key"),
        (true, None, Some(_)) => refuse("key", "needs its certificate"),
    }
}

/// Opens the certificate for HTTP; where it is that of `[tls]`, the one that is open.
pub fn open_http(
    files: Option<&TlsFiles>,
    shared: Option<&TlsServer>,
) -> Result<Option<TlsServer>, Complaint> {
    let Some(files) = files else { return Ok(None) };
    match shared.filter(|shared| shared.files() == files) {
        Some(shared) => Ok(Some(shared.clone())),
        None => {
            TlsServer::open(files.clone()).map(Some).map_err(|error| Complaint(format!("[http] {error}")))
        }
    }
}

/// Opens the files. Without the section, and without authorities of the machine, no TLS connection is opened.
pub fn open(certificates: Option<&Certificates>, options: &mut StreamOptions) -> Result<(), Complaint> {
    let complain = |error| Complaint(format!("[tls] {error}"));
    let Some(Certificates { files, authorities }) = certificates else {
        options.tls_client = TlsClient::open(None, None).ok();
        return Ok(());
    };
    options.tls = Some(TlsServer::open(files.clone()).map_err(complain)?);
    let client = TlsClient::open(authorities.as_deref(), Some(files));
    options.tls_client = match authorities {
        Some(_) => Some(client.map_err(complain)?),
        None => client.ok(),
    };
    Ok(())
}

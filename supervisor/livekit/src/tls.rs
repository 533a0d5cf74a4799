//! Whom to believe to be the server.
//!
//! Owns: one TLS configuration, rustls with ring. Never: turns checking off, or sets a provider for the whole process.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Which certificates are trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trust {
    /// Those of the system, or of `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    #[default]
    System,
    /// Those of this PEM file and no other: a private authority.
    File(PathBuf),
}

/// Why TLS is not possible.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Nothing was found.
    #[error("find the system's certificates: install `ca-certificates`, or set SSL_CERT_FILE")]
    NoneFound {
        /// What went wrong first, if anything.
        #[source]
        source: Option<rustls_native_certs::Error>,
    },
    /// The file cannot be read, or holds no certificate.
    #[error("read certificates from {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// rustls refused.
    #[error("set up TLS")]
    Rustls(#[source] rustls::Error),
}

/// A client's configuration.
pub(crate) fn configuration(trust: &Trust) -> Result<Arc<rustls::ClientConfig>, TlsError> {
    let mut roots = rustls::RootCertStore::empty();
    match trust {
        Trust::System => {
            let mut found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err(TlsError::NoneFound { source: found.errors.pop() });
            }
        }
        Trust::File(path) => {
            let failed = |source| TlsError::File { path: path.clone(), source };
            for certificate in CertificateDer::pem_file_iter(path).map_err(failed)? {
                roots.add(certificate.map_err(failed)?).map_err(TlsError::Rustls)?;
            }
            if roots.is_empty() {
                return Err(failed(rustls::pki_types::pem::Error::NoItemsFound));
            }
        }
    }
    believing(roots)
}

/// For a server without TLS: nobody is believed.
pub(crate) fn none() -> Result<Arc<rustls::ClientConfig>, TlsError> {
    believing(rustls::RootCertStore::empty())
}

fn believing(roots: rustls::RootCertStore) -> Result<Arc<rustls::ClientConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let configuration = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Rustls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(configuration))
}

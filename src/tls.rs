//! The one crypto provider, for every TLS connection this process makes.

/// Makes ring the process's provider. Again is harmless.
pub fn install_crypto_provider() {
    // Fails only if a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

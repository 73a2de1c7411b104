//! GraphiQL, embedded: see `web/graphiql/`. Nothing is loaded from elsewhere.
use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// Only what comes from here runs. Styles may be inline: the editor measures and places text by them.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     font-src 'self' data:; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

struct Asset {
    content_type: &'static str,
    bytes: &'static [u8],
    /// Of the bytes, so that a browser asks for them once.
    etag: String,
}

impl Asset {
    fn new(content_type: &'static str, bytes: &'static [u8]) -> Asset {
        let digest = Sha256::digest(bytes);
        let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Asset { content_type, bytes, etag: format!("\"{hex}\"") }
    }

    fn serve(&self, headers: &HeaderMap) -> Response {
        let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        let mut response = match known {
            Some(known) if known.contains(&self.etag) => StatusCode::NOT_MODIFIED.into_response(),
            _ => ([(header::CONTENT_TYPE, self.content_type)], self.bytes).into_response(),
        };
        let fixed = [
            // Kept, but asked about each time: the next version of the binary brings others under the same names.
            (header::CACHE_CONTROL, "no-cache"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        ];
        for (name, value) in fixed {
            insert(&mut response, name, HeaderValue::from_static(value));
        }
        if let Ok(etag) = HeaderValue::from_str(&self.etag) {
            insert(&mut response, header::ETAG, etag);
        }
        response
    }
}

fn insert(response: &mut Response, name: HeaderName, value: HeaderValue) {
    response.headers_mut().insert(name, value);
}

pub(super) async fn index(headers: HeaderMap) -> Response {
    static INDEX: LazyLock<Asset> =
        LazyLock::new(|| Asset::new("text/html; charset=utf-8", include_bytes!("../../web/graphiql/index.html")));
    INDEX.serve(&headers)
}

pub(super) async fn script(headers: HeaderMap) -> Response {
    static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
        Asset::new("text/javascript; charset=utf-8", include_bytes!("../../web/graphiql/dist/graphiql.js"))
    });
    SCRIPT.serve(&headers)
}

pub(super) async fn style(headers: HeaderMap) -> Response {
    static STYLE: LazyLock<Asset> =
        LazyLock::new(|| Asset::new("text/css; charset=utf-8", include_bytes!("../../web/graphiql/dist/graphiql.css")));
    STYLE.serve(&headers)
}

pub(super) async fn licences(headers: HeaderMap) -> Response {
    static LICENCES: LazyLock<Asset> = LazyLock::new(|| {
        Asset::new("text/plain; charset=utf-8", include_bytes!("../../web/graphiql/dist/LICENCES.txt"))
    });
    LICENCES.serve(&headers)
}

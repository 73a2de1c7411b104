//! What this process is not for: a request that came to the wrong process is told so, and not that it is to come again.
use crate::{
    edge::{self, Problem},
    roles::Roles,
};
use axum::{Router, extract::Request, middleware};

/// Answers whatever nobody else does.
pub fn router(roles: &Roles) -> Router {
    let roles = roles.to_string();
    Router::new()
        .fallback(move |_: Request| async move {
            Problem::not_found(format!("nothing is served here at this path; this process has the roles {roles}"))
        })
        .layer(middleware::from_fn(edge::edge))
}

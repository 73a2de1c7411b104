//! Who asks, and what that lets them see.
use super::error::coded;
use async_graphql::{Context, Result};
use eventstore::{ApiKey, Role};

/// Whoever holds the key that a request came with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewer {
    pub role: Role,
    /// A shop's own id; staff may have none.
    pub shop: Option<String>,
}

impl From<&ApiKey> for Viewer {
    fn from(key: &ApiKey) -> Viewer {
        Viewer { role: key.role, shop: key.shop.clone() }
    }
}

impl Viewer {
    /// The one shop that it may see; `None`: all of them.
    fn confined_to(&self) -> Result<Option<&str>> {
        match (self.role, &self.shop) {
            (Role::Shop, Some(shop)) => Ok(Some(shop)),
            (Role::Shop, None) => Err(coded("FORBIDDEN", "the key names no shop")),
            (Role::Warehouse | Role::Support | Role::Operator, _) => Ok(None),
        }
    }
}

/// What a row's shop must equal, all of it: the shop that the viewer is confined to and the one that was asked for. When the two
/// differ nothing matches.
pub(super) fn shops(ctx: &Context<'_>, asked: Option<&str>) -> Result<Vec<String>> {
    let confined = ctx.data::<Viewer>()?.confined_to()?;
    Ok(confined.into_iter().chain(asked).map(str::to_owned).collect())
}

/// Whether things of this shop exist for the viewer.
pub(super) fn sees(ctx: &Context<'_>, shop: &str) -> Result<bool> {
    Ok(ctx.data::<Viewer>()?.confined_to()?.is_none_or(|own| own == shop))
}

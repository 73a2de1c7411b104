//! What an order's payment events amount to.
use crate::Amount;
use chrono::{DateTime, Utc};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Payment {
    #[default]
    None,
    Declined {
        code: String,
    },
    Authorized(Authorization),
    /// The money was not to be had; the authorization stands until it expires.
    CaptureDeclined {
        authorization: Authorization,
        code: String,
    },
    Captured {
        authorization: Authorization,
        /// The provider's own reference of the capture.
        capture_id: String,
        captured: Amount,
        /// Of that.
        refunded: Amount,
    },
    /// Undone, or blocked before it ever was.
    Voided {
        authorized: Amount,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    pub id: String,
    pub amount: Amount,
    pub expires_at: DateTime<Utc>,
}

impl Payment {
    pub fn authorization(&self) -> Option<&Authorization> {
        match self {
            Payment::Authorized(authorization)
            | Payment::CaptureDeclined { authorization, .. }
            | Payment::Captured { authorization, .. } => Some(authorization),
            Payment::None | Payment::Declined { .. } | Payment::Voided { .. } => None,
        }
    }

    /// What is or was held for capture, and not given back.
    pub fn authorized(&self) -> Amount {
        self.authorization().map_or(Amount::ZERO, |authorization| authorization.amount)
    }

    pub fn captured(&self) -> Amount {
        match self {
            Payment::Captured { captured, .. } => *captured,
            _ => Amount::ZERO,
        }
    }

    pub fn capture_id(&self) -> Option<&str> {
        match self {
            Payment::Captured { capture_id, .. } => Some(capture_id),
            _ => None,
        }
    }

    /// What was captured and given back.
    pub fn refunded(&self) -> Amount {
        match self {
            Payment::Captured { refunded, .. } => *refunded,
            _ => Amount::ZERO,
        }
    }
}

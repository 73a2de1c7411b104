//! The test tokens of the simulated payment provider.

use std::time::Duration;

/// `tok_slow_MS` waits no longer.
const MAX_SLOW_MS: u64 = 600_000;

/// `tok_flaky_N` fails no more often.
const MAX_FLAKY: u32 = 1_000;

/// What a token asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// `tok_ok`
    Ok,
    /// `tok_decline`: the authorization is refused.
    Decline,
    /// `tok_decline_on_capture`: the authorization is given, every capture of it is refused.
    DeclineOnCapture,
    /// `tok_slow_MS`: the authorization acts and answers after so many milliseconds, even if the caller is gone by
    /// then.
    Slow(Duration),
    /// `tok_hang_after_acting`: acts, then never answers the first call of a key.
    HangAfterActing,
    /// `tok_flaky_N`: 503 without acting, N times for a key.
    Flaky(u32),
}

impl Token {
    /// `None` for a token that the provider does not know.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "tok_ok" => Self::Ok,
            "tok_decline" => Self::Decline,
            "tok_decline_on_capture" => Self::DeclineOnCapture,
            "tok_hang_after_acting" => Self::HangAfterActing,
            _ => {
                if let Some(ms) = text.strip_prefix("tok_slow_") {
                    let ms = digits(ms)?.parse().ok().filter(|ms| *ms <= MAX_SLOW_MS)?;
                    Self::Slow(Duration::from_millis(ms))
                } else {
                    let times = text.strip_prefix("tok_flaky_")?;
                    Self::Flaky(digits(times)?.parse().ok().filter(|n| *n <= MAX_FLAKY)?)
                }
            }
        })
    }
}

fn digits(text: &str) -> Option<&str> {
    text.bytes().all(|b| b.is_ascii_digit()).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Token;

    #[test]
    fn tokens_are_read_as_documented_and_no_others() {
        assert_eq!(Token::parse("tok_ok"), Some(Token::Ok));
        assert_eq!(Token::parse("tok_slow_250"), Some(Token::Slow(Duration::from_millis(250))));
        assert_eq!(Token::parse("tok_flaky_3"), Some(Token::Flaky(3)));
        for text in [
            "",
            "tok_",
            "tok_okay",
            "tok_slow_",
            "tok_slow_-1",
            "tok_slow_+1",
            "tok_slow_600001",
            "tok_flaky_x",
            "tok_flaky_1001",
        ] {
            assert_eq!(Token::parse(text), None, "{text:?}");
        }
    }
}

//! `Prefer: wait=N` (RFC 7240). A preference that can't be read is no preference; one past the bound is honoured up to it.
use axum::http::HeaderMap;
use std::time::Duration;

/// The longest that an answer is held back.
pub(crate) const MAX_WAIT_SECONDS: u64 = 60;

/// How long the client would wait, if it says so. The first `wait` counts.
pub(crate) fn wait(headers: &HeaderMap) -> Option<Duration> {
    let lines = headers.get_all("prefer").iter().filter_map(|line| line.to_str().ok());
    let mut preferences = lines.flat_map(|line| line.split(','));
    let value = preferences.find_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        name.trim().eq_ignore_ascii_case("wait").then(|| value.trim())
    })?;
    let digits = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // More digits than a number has are more than the bound.
    Some(Duration::from_secs(digits.parse().unwrap_or(u64::MAX).min(MAX_WAIT_SECONDS)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn read(lines: &[&'static str]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        lines.iter().for_each(|line| {
            headers.append("prefer", HeaderValue::from_static(line));
        });
        wait(&headers).map(|wait| wait.as_secs())
    }

    #[test]
    fn a_wait_is_read_as_rfc_7240_writes_it() {
        assert_eq!(read(&["wait=10"]), Some(10));
        assert_eq!(read(&["respond-async, WAIT = \"10\"; foo=bar"]), Some(10));
        assert_eq!(read(&["handling=lenient", "wait=3", "wait=5"]), Some(3));
    }

    #[test]
    fn a_wait_past_the_bound_is_honoured_up_to_it_and_an_unreadable_one_not_at_all() {
        assert_eq!((read(&["wait=61"]), read(&["wait=99999999999999999999999"])), (Some(60), Some(60)));
        assert_eq!((read(&[]), read(&["wait"]), read(&["wait=soon"]), read(&["wait=-1"])), (None, None, None, None));
    }
}

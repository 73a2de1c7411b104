//! Instants: RFC 3339, or without an offset in the shop's time zone.
use super::reader::Value;
use chrono::{DateTime, Datelike, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

/// The instant; the text as given is the caller's to keep.
pub(crate) fn instant(value: Value<'_>, zone: Tz) -> Option<DateTime<Utc>> {
    let text = value.text(0..=usize::MAX)?;
    let found = parse(text, zone).filter(|instant| (1..=9999).contains(&instant.year()));
    if found.is_none() {
        value.fault("invalid_timestamp", "must be a time of RFC 3339; without an offset it is in the shop's time zone");
    }
    found
}

fn parse(text: &str, zone: Tz) -> Option<DateTime<Utc>> {
    // RFC 3339's date-time begins `YYYY-MM-DDT`; what else chrono would take, we don't.
    if !matches!(text.as_bytes().get(10), Some(b'T' | b't')) || text.len() > 64 {
        return None;
    }
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Some(instant.to_utc());
    }
    let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
    // Twice a year's clock shows a time twice or never: the first of two, and none that never was.
    zone.from_local_datetime(&local).earliest().map(|instant| instant.to_utc())
}

/// The zone of a shop; UTC when its name is none we know.
pub(crate) fn zone(name: &str) -> Tz {
    if name == "UTC" { Tz::UTC } else { name.parse().unwrap_or(Tz::UTC) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, zone: &str) -> Option<String> {
        parse(text, super::zone(zone)).map(|instant| instant.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
    }

    #[test]
    fn a_time_without_an_offset_is_in_the_shop_s_zone() {
        assert_eq!(at("2017-01-01T11:53:26", "UTC").as_deref(), Some("2017-01-01T11:53:26Z"));
        assert_eq!(at("2017-01-01T11:53:26", "America/New_York").as_deref(), Some("2017-01-01T16:53:26Z"));
        assert_eq!(at("2017-07-01T11:53:26.5", "Europe/Berlin").as_deref(), Some("2017-07-01T09:53:26.500Z"));
        assert_eq!(at("2017-01-01T11:53:26+02:00", "America/New_York").as_deref(), Some("2017-01-01T09:53:26Z"));
    }

    #[test]
    fn of_a_time_that_comes_twice_the_first_is_meant_and_one_that_never_was_is_refused() {
        assert_eq!(at("2017-10-29T02:30:00", "Europe/Berlin").as_deref(), Some("2017-10-29T00:30:00Z"));
        assert_eq!(at("2017-03-26T02:30:00", "Europe/Berlin"), None);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "2017-01-01",
            "2017-13-01T00:00:00Z",
            "2017-01-01 11:53:26Z",
            "2017-01-01T25:00:00",
            "1483271606",
        ] {
            assert_eq!(at(text, "UTC"), None, "{text}");
        }
    }
}

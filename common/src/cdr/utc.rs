//! Codec: wall time of records: milliseconds of UTC, written as RFC 3339 5.6 says.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment, in milliseconds since 1970 in UTC.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UtcMillis(pub u64);

/// One moment by both clocks: by it all others are translated.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    /// By the node's clock.
    pub now: Instant,
    /// By the wall's.
    pub utc: UtcMillis,
}

impl WallClock {
    /// The wall time of a moment of the node's clock.
    #[must_use]
    pub fn at(self, moment: Instant) -> UtcMillis {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let UtcMillis(utc) = self.utc;
        match moment.checked_duration_since(self.now) {
            Some(later) => UtcMillis(utc.saturating_add(millis(later))),
            None => UtcMillis(utc.saturating_sub(millis(self.now.saturating_duration_since(moment)))),
        }
    }
}

impl UtcMillis {
    /// Milliseconds since an earlier moment; 0 when it is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

const DAY_MS: u64 = 86_400_000;

/// Year, month and day of a number of days since 1970-01-01 (proleptic Gregorian calendar; H. Hinnant's `civil_from_days`).
const fn date_of(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

/// The other way round.
const fn days_of(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * month + 2) / 5 + day - 1;
    let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    (era * 146_097 + of_era).saturating_sub(719_468)
}

impl fmt::Display for UtcMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date_of(self.0 / DAY_MS);
        let ms = self.0 % DAY_MS;
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
        let ms = ms % 1_000;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"
        )
    }
}

impl FromStr for UtcMillis {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no time; expected one as 2026-01-31T12:00:00.000Z");
        let mut numbers = text.split(['-', 'T', ':', '.', 'Z']).map(str::parse::<u64>);
        let mut next = |range: std::ops::RangeInclusive<u64>| {
            let number = numbers.next().and_then(Result::ok);
            number.filter(|number| range.contains(number)).ok_or_else(wrong)
        };
        let (year, month, day) = (next(1970..=9_999)?, next(1..=12)?, next(1..=31)?);
        let (hour, minute, second, ms) = (next(0..=23)?, next(0..=59)?, next(0..=60)?, next(0..=999)?);
        let of_day = ((hour * 60 + minute) * 60 + second) * 1_000 + ms;
        let moment = Self(days_of(year, month, day) * DAY_MS + of_day);
        if text.len() == 24 {
            Ok(moment)
        } else {
            Err(wrong())
        }
    }
}

impl Serialize for UtcMillis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UtcMillis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_printed_and_read_back() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_827_696_007, "2000-02-29T12:34:56.007Z"),
            (1_767_225_600_000, "2026-01-01T00:00:00.000Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(UtcMillis(ms).to_string(), text);
            assert_eq!(text.parse(), Ok(UtcMillis(ms)));
        }
        for wrong in [
            "",
            "2026-01-01",
            "2026-13-01T00:00:00.000Z",
            "2026-01-01T00:00:00.000",
        ] {
            assert!(wrong.parse::<UtcMillis>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_day_of_a_long_time_is_another_one() {
        for day in 0..60_000 {
            let (year, month, of_month) = date_of(day);
            assert_eq!(days_of(year, month, of_month), day);
        }
    }
}

//! Dates as the server's log writes them, and back to microseconds since 1970.

/// Days before a year that begins in March, since 1 March of the year 0.
fn days_before(year: i64) -> i64 {
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400)
}

/// Days from 1 March of the year 0 to 1 January 1970.
const EPOCH: i64 = 719_468;

/// Microseconds since 1970 as a UTC date.
#[must_use]
pub fn format(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    let day = i64::try_from(seconds / 86_400).unwrap_or(i64::MAX / 2) + EPOCH;
    let mut year = day / 366;
    while days_before(year + 1) <= day {
        year += 1;
    }
    let of_year = day - days_before(year);
    let from_march = (5 * of_year + 2) / 153;
    let date = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year + i64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let micros = micros % 1_000_000;
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// A UTC date as microseconds since 1970; the fraction may be missing.
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.splitn(3, ':');
    let (hour, minute) = (time.next()?.parse::<u64>().ok()?, time.next()?.parse::<u64>().ok()?);
    let (second, fraction) = time.next()?.split_once('.').unwrap_or((time_second(text)?, ""));
    let second = second.parse::<u64>().ok()?;
    let fits = (0..10_000).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !fits || hour > 23 || minute > 59 || second > 59 || fraction.len() > 6 {
        return None;
    }
    let micros = format!("{fraction:0<6}").parse::<u64>().ok()?;
    let year = year - i64::from(month <= 2);
    let from_march = (month + 9) % 12;
    let day = days_before(year) + (153 * from_march + 2) / 5 + day - 1 - EPOCH;
    let seconds = u64::try_from(day).ok()? * 86_400 + hour * 3600 + minute * 60 + second;
    Some(seconds * 1_000_000 + micros)
}

fn time_second(text: &str) -> Option<&str> {
    text.strip_suffix('Z')?.rsplit(':').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_come_back_as_they_went() {
        let table = [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399_999_999, "2000-02-28T23:59:59.999999Z"),
            (951_782_400_000_001, "2000-02-29T00:00:00.000001Z"),
            (1_704_067_199_000_000, "2023-12-31T23:59:59.000000Z"),
            (1_787_238_795_123_456, "2026-08-20T15:13:15.123456Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
        ];
        for (micros, text) in table {
            assert_eq!(format(micros), text);
            assert_eq!(parse(text), Some(micros), "{text}");
        }
        assert_eq!(parse("1970-01-01T00:00:01Z"), Some(1_000_000));
        assert_eq!(parse("1970-01-01T00:00:01.5Z"), Some(1_500_000));
        for wrong in ["", "Z", "1970-01-01", "1970-13-01T00:00:00Z", "1970-01-01T25:00:00Z", "T:Z"]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}

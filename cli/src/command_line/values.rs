//! Values of flags as Go reads them, and what it says of those that it cannot.

use crate::server::duration;
use std::time::Duration;

/// Go's `strconv.ParseBool`.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
    }
}

/// Go's `strconv.ParseInt` of a number in any base that it says.
pub(super) fn integer(text: &str) -> Result<i64, String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let why = |why| format!("strconv.ParseInt: parsing {text:?}: {why}");
    let value = number(digits).map_err(why)?;
    i64::try_from(sign * value).map_err(|_| why("value out of range"))
}

/// Go's `strconv.ParseUint`, likewise.
pub(super) fn unsigned(text: &str) -> Result<u64, String> {
    let why = |why| format!("strconv.ParseUint: parsing {text:?}: {why}");
    let value = number(text).map_err(why)?;
    u64::try_from(value).map_err(|_| why("value out of range"))
}

/// Digits with their base: `10`, `0x1f`, `0o17`, `017`, `0b11`.
fn number(digits: &str) -> Result<i128, &'static str> {
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        Some(octal) if octal.starts_with('0') => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err("invalid syntax");
    }
    // What i128 cannot hold is beyond every number here.
    i128::from_str_radix(digits, radix).map_err(|_| "value out of range")
}

/// Go's `time.ParseDuration`, of spans that are not negative.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    duration::parse(text).ok_or_else(|| match text.parse::<f64>() {
        Ok(_) => format!("time: missing unit in duration {text:?}"),
        Err(_) => format!("time: invalid duration {text:?}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_their_base() {
        let read = ["10", "-0x1f", "017", "0b11", "0", "-9223372036854775808"].map(integer);
        assert_eq!(read.map(Result::ok), [10, -31, 15, 3, 0, i64::MIN].map(Some));
        let told = |text| integer(text).expect_err("no number");
        assert_eq!(told("x"), "strconv.ParseInt: parsing \"x\": invalid syntax");
        assert_eq!(told("-"), "strconv.ParseInt: parsing \"-\": invalid syntax");
        assert!(told("9223372036854775808").ends_with("value out of range"));
        assert!(told(&"9".repeat(60)).ends_with("value out of range"));
        assert!(unsigned("-1").expect_err("negative").ends_with("invalid syntax"));
    }
}

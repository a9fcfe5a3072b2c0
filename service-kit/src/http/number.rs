//! JSON numbers as exact digits.

/// Returns the digits of a JSON number without an exponent or needless zeros: `1.50e2` becomes
/// `150`. Returns `None` if `text` is not a JSON number or has more than 40 digits.
#[must_use]
pub fn normalize_number(text: &str) -> Option<String> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
        None => (rest, 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (mantissa, ""),
    };
    let digits = format!("{whole}{fraction}");
    let leading_zero = whole.len() > 1 && whole.starts_with('0');
    if whole.is_empty() || leading_zero || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    // The position of the decimal point, counted from the first digit that is not zero.
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return Some("0".to_owned());
    }
    let point = i64::try_from(significant.len()).ok()? - i64::try_from(fraction.len()).ok()?;
    let point = point.checked_add(exponent)?;
    let significant = significant.trim_end_matches('0');
    if !(-40..=40).contains(&point) || significant.len() > 40 {
        return None;
    }
    let sign = if negative { "-" } else { "" };
    let places = usize::try_from(point.unsigned_abs()).ok()?;
    Some(if point <= 0 {
        format!("{sign}0.{}{significant}", "0".repeat(places))
    } else if places >= significant.len() {
        format!("{sign}{significant}{}", "0".repeat(places - significant.len()))
    } else {
        let (whole, fraction) = significant.split_at(places);
        format!("{sign}{whole}.{fraction}")
    })
}

fn parse_exponent(exponent: &str) -> Option<i64> {
    let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    exponent.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits() {
        for (text, digits) in [
            ("0", "0"),
            ("-0.0e5", "0"),
            ("1200", "1200"),
            ("0.1", "0.1"),
            ("1e2", "100"),
            ("1.50E+2", "150"),
            ("15e-1", "1.5"),
            ("1e-3", "0.001"),
            ("12.34e1", "123.4"),
            ("99999999.99", "99999999.99"),
            ("-12.500", "-12.5"),
            ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"),
        ] {
            assert_eq!(normalize_number(text).as_deref(), Some(digits), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_number_or_absurd_is_refused() {
        for text in [
            "",
            "-",
            "+1",
            "01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "0x1",
            " 1",
            "1,5",
            "NaN",
            "1e99999999999999999999",
            "1e1000",
            "1e-1000",
            "١",
        ] {
            assert_eq!(normalize_number(text), None, "{text}");
        }
    }
}

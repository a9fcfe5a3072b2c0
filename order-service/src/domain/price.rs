//! Prices.

use std::fmt;

use rust_decimal::Decimal;
use service_kit::http::{FromJson, Json, json};

/// A price from 0 to 99,999,999.99 with at most two decimals, exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Price(pub(crate) Decimal);

/// 99,999,999.99
const MAX: Decimal = Decimal::from_parts(1_410_065_407, 2, 0, false, 2);

const RULE: &str = "must be a number from 0 to 99999999.99 with at most two decimals";

impl FromJson for Price {
    /// Accepts a number, or a string that holds one: clients whose JSON library knows only binary
    /// fractions send strings.
    fn from_json(value: Json<'_>) -> Result<Self, Vec<String>> {
        let parsed = match &value {
            Json::Number(text) => Self::parse(text),
            Json::Text(text) => Self::parse(text),
            other => return Err(vec![format!("{RULE}, not {}", other.kind())]),
        };
        parsed.ok_or_else(|| vec![RULE.to_owned()])
    }
}

impl Price {
    fn parse(text: &str) -> Option<Self> {
        let price = Decimal::from_str_exact(&json::normalize_number(text)?).ok()?;
        (price.scale() <= 2 && price >= Decimal::ZERO && price <= MAX).then_some(Self(price))
    }
}

impl fmt::Display for Price {
    /// Always with two decimals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_exact_and_has_two_decimals() {
        for (text, price) in [
            ("0", "0.00"),
            ("-0", "0.00"),
            ("0.1", "0.10"),
            ("1200", "1200.00"),
            ("1200.000", "1200.00"),
            ("1e2", "100.00"),
            ("1.5E+1", "15.00"),
            ("99999999.99", "99999999.99"),
        ] {
            let number = Price::from_json(Json::Number(text)).expect(text);
            assert_eq!(number.to_string(), price);
            assert_eq!(Price::from_json(Json::Text(text.into())), Ok(number));
        }
    }

    #[test]
    fn an_invalid_price_is_refused() {
        for text in [
            "-0.01",
            "0.001",
            "99999999.991",
            "100000000",
            "1e8",
            "1e-3",
            "1e999999999",
            "",
            " 1",
            "1,50",
            "12,000.00",
            "$5",
            "NaN",
            "nan",
            "NAN",
            "-NaN",
            "Infinity",
            "-Infinity",
            "INFINITY",
            "inf",
            "+inf",
            "1e400",
        ] {
            assert_eq!(
                Price::from_json(Json::Text(text.into())),
                Err(vec![RULE.to_owned()]),
                "{text:?}"
            );
        }
        assert_eq!(Price::from_json(Json::Bool), Err(vec![format!("{RULE}, not a boolean")]));
    }
}

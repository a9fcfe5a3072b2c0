//! Summary statistics of repeated runs.

use serde_json::{Value, json};

/// Sorted values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Summary(Vec<f64>);

impl Summary {
    pub(crate) fn median(&self) -> f64 {
        let (values, middle) = (&self.0, self.0.len() / 2);
        match values.len() {
            0 => f64::NAN,
            odd if odd % 2 == 1 => values[middle],
            _ => f64::midpoint(values[middle - 1], values[middle]),
        }
    }

    /// The nearest-rank percentile.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn min(&self) -> f64 {
        self.percentile(0)
    }

    pub(crate) fn max(&self) -> f64 {
        self.percentile(100)
    }

    /// Median, minimum and maximum.
    pub(crate) fn json(&self) -> Value {
        json!({ "median": rounded(self.median()), "min": rounded(self.min()), "max": rounded(self.max()) })
    }
}

impl FromIterator<f64> for Summary {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        Self(values)
    }
}

/// Rounds to the significant digits: to a whole number from 100 on, otherwise to at least two
/// digits.
pub(crate) fn rounded(value: f64) -> f64 {
    let unit = match value.abs() {
        large if large >= 100.0 => 1.0,
        medium if medium >= 10.0 => 10.0,
        small if small >= 0.1 => 100.0,
        _ => 10_000.0,
    };
    (value * unit).round() / unit
}

/// Formats a number with thousands separators: 10,000,000.
pub(crate) fn grouped(count: i64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([0, 999, 1000, 10_000_000].map(grouped), ["0", "999", "1,000", "10,000,000"]);
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let summary: Summary = (1..=200).rev().map(f64::from).collect();
        assert_eq!(summary.percentile(50), 100.0);
        assert_eq!(summary.percentile(99), 198.0);
        assert_eq!((summary.min(), summary.max()), (1.0, 200.0));
        assert_eq!(summary.median(), 100.5);
        let one: Summary = [7.0].into_iter().collect();
        assert_eq!([one.min(), one.median(), one.percentile(99), one.max()], [7.0; 4]);
        assert!(Summary::default().median().is_nan());
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(rounded(12345.6), 12346.0);
        assert_eq!(rounded(12.345), 12.3);
        assert_eq!(rounded(0.98765), 0.99);
        assert_eq!(rounded(0.012345), 0.0123);
    }
}

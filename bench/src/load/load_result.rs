//! The results of a run's requests.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Latencies are recorded with three digits, from 1 µs to 100 s.
const LONGEST: u64 = 100_000_000;
const DIGITS: u8 = 3;

/// A slice of the plots' time axis.
pub(crate) const SLICE: Duration = Duration::from_millis(250);

/// The accepted orders, each of which must be counted once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Accepted {
    /// All of them, including the warm-up.
    pub(crate) total: u64,
    /// By customer, numbered from 0.
    pub(crate) by_customer: Vec<u64>,
}

/// The results of a run; without the warm-up unless stated.
#[derive(Debug, Clone)]
pub(crate) struct LoadResult {
    /// Latency of the successes, in µs.
    pub(crate) latency: Histogram<u64>,
    /// The measured time.
    pub(crate) seconds: f64,
    /// Successes per slice of time, including the warm-up.
    pub(crate) slices: Vec<u64>,
    pub(crate) accepted: Accepted,
    /// The failures by kind, including the warm-up.
    pub(crate) errors: BTreeMap<String, u64>,
    begun: Instant,
}

impl LoadResult {
    pub(super) fn new(customers: usize, begun: Instant) -> anyhow::Result<Self> {
        Ok(Self {
            latency: Histogram::new_with_bounds(1, LONGEST, DIGITS)?,
            seconds: 0.0,
            slices: Vec::new(),
            accepted: Accepted { total: 0, by_customer: vec![0; customers] },
            errors: BTreeMap::new(),
            begun,
        })
    }

    /// Records a success; `latency` is `None` in the warm-up.
    pub(super) fn success(
        &mut self,
        customer: Option<usize>,
        latency: Option<Duration>,
        now: Instant,
    ) {
        if let Some(customer) = customer {
            self.accepted.total += 1;
            self.accepted.by_customer[customer] += 1;
        }
        let slice = now.saturating_duration_since(self.begun).as_millis() / SLICE.as_millis();
        let slice = usize::try_from(slice).unwrap_or(usize::MAX);
        if slice >= self.slices.len() {
            self.slices.resize(slice + 1, 0);
        }
        self.slices[slice] += 1;
        if let Some(latency) = latency {
            let microseconds = u64::try_from(latency.as_micros()).unwrap_or(LONGEST);
            self.latency.saturating_record(microseconds.max(1));
        }
    }

    pub(super) fn error(&mut self, what: &str) {
        match self.errors.get_mut(what) {
            Some(count) => *count += 1,
            None => drop(self.errors.insert(what.to_owned(), 1)),
        }
    }

    /// Successes per second.
    pub(crate) fn per_second(&self) -> f64 {
        self.latency.len() as f64 / self.seconds
    }

    /// A percentile of the latency, in milliseconds.
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        self.latency.value_at_quantile(percent / 100.0) as f64 / 1000.0
    }

    /// The number of failed requests.
    pub(crate) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

impl Accepted {
    /// Adds the orders of another run.
    pub(crate) fn add(&mut self, other: &Self) {
        self.total += other.total;
        if self.by_customer.len() < other.by_customer.len() {
            self.by_customer.resize(other.by_customer.len(), 0);
        }
        for (count, more) in self.by_customer.iter_mut().zip(&other.by_customer) {
            *count += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warm_up_counts_as_accepted_and_as_nothing_else() {
        let begun = Instant::now();
        let mut tally = LoadResult::new(2, begun).expect("a tally");
        tally.success(Some(0), None, begun);
        tally.success(Some(1), Some(Duration::from_millis(3)), begun + SLICE * 2);
        tally.success(Some(1), Some(Duration::from_millis(5)), begun + SLICE);
        tally.error("503");
        tally.seconds = 2.0;
        assert_eq!((tally.accepted.total, tally.accepted.by_customer.as_slice()), (3, &[1, 2][..]));
        assert_eq!(tally.slices, [1, 1, 1]);
        assert!((tally.per_second() - 1.0).abs() < 1e-9);
        assert!((tally.percentile(100.0) - 5.0).abs() < 0.01);
        assert_eq!(tally.failed(), 1);
    }
}

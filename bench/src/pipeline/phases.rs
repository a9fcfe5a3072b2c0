//! How long the phases of requests took, by the order service's own histogram.

use std::collections::BTreeMap;

use super::programs::Api;

const METRIC: &str = "order_phase_duration_seconds_bucket";

/// The names of the phases, in the order in which a request goes through them.
pub(crate) const PHASES: [&str; 5] = ["parse", "check", "queue", "statement", "answer"];

/// The buckets of each phase: the upper bound in seconds, and how many requests took no longer.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Phases(BTreeMap<String, Vec<(f64, u64)>>);

impl Phases {
    /// Reads the phases of all requests that `order_service` has had so far.
    pub(crate) async fn of(order_service: &Api) -> anyhow::Result<Self> {
        Ok(Self::read(&order_service.metrics().await?))
    }

    fn read(metrics: &str) -> Self {
        let mut phases = BTreeMap::<String, Vec<(f64, u64)>>::new();
        for line in metrics.lines().filter_map(|line| line.strip_prefix(METRIC)) {
            let label = |name: &str| Some(line.split_once(name)?.1.split('"').next()?.to_owned());
            let count = line.rsplit(' ').next().and_then(|count| count.parse().ok());
            let bound = label("le=\"").and_then(|bound| bound.parse().ok());
            if let (Some(phase), Some(bound), Some(count)) = (label("phase=\""), bound, count) {
                phases.entry(phase).or_default().push((bound, count));
            }
        }
        Self(phases)
    }

    /// Returns the phases of the requests that came after `before` was read.
    pub(crate) fn since(mut self, before: &Self) -> Self {
        for (phase, buckets) in &mut self.0 {
            for ((_, count), (_, before)) in
                buckets.iter_mut().zip(before.0.get(phase).into_iter().flatten())
            {
                *count = count.saturating_sub(*before);
            }
        }
        self
    }

    /// The percentile of a phase in milliseconds, by linear interpolation within a bucket, as
    /// Prometheus does it; `None` without requests.
    pub(crate) fn percentile(&self, phase: &str, percent: f64) -> Option<f64> {
        let buckets = self.0.get(phase)?;
        let (_, all) = buckets.last().filter(|(_, all)| *all > 0)?;
        #[expect(clippy::cast_precision_loss, reason = "far fewer requests than 2^52")]
        let rank = *all as f64 * percent / 100.0;
        let (mut from, mut below) = (0.0, 0.0);
        for &(bound, count) in buckets {
            #[expect(clippy::cast_precision_loss, reason = "far fewer requests than 2^52")]
            let count = count as f64;
            if count >= rank {
                // The last bucket has no upper bound.
                let seconds = if bound.is_finite() {
                    from + (bound - from) * (rank - below) / (count - below)
                } else {
                    from
                };
                return Some(seconds * 1000.0);
            }
            (from, below) = (bound, count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Phases;

    const METRICS: &str = "\
order_phase_duration_seconds_bucket{phase=\"queue\",le=\"0.001\"} 50
order_phase_duration_seconds_bucket{phase=\"queue\",le=\"0.002\"} 150
order_phase_duration_seconds_bucket{phase=\"queue\",le=\"+Inf\"} 151
order_phase_duration_seconds_sum{phase=\"queue\"} 1.5
";

    #[test]
    fn percentiles_are_those_of_the_requests_in_between() {
        let before = Phases::read(METRICS);
        let now = METRICS.replace(" 150", " 250").replace(" 151", " 251");
        let between = Phases::read(&now).since(&before);
        // 100 requests of 1 to 2 ms.
        assert_eq!(between.percentile("queue", 50.0), Some(1.5));
        assert_eq!(between.percentile("queue", 99.0), Some(1.99));
        assert_eq!(between.percentile("parse", 99.0), None);
        assert_eq!(before.percentile("queue", 100.0), Some(2.0), "no upper bound");
        assert_eq!(before.clone().since(&before).percentile("queue", 99.0), None, "no requests");
    }
}

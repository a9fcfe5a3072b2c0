use super::*;

const LIMITS: TimeLimits = TimeLimits {
    idle: Duration::from_secs(75),
    min_idle: Duration::from_millis(500),
    headers: Duration::from_secs(10),
    stall: Duration::from_secs(20),
    response: Duration::from_secs(30),
};

/// Returns the seconds that are left, rounded.
fn left(progress: &Progress) -> Option<f64> {
    let now = Instant::now();
    let seconds = |deadline: Instant| match deadline.checked_duration_since(now) {
        Some(left) => left.as_secs_f64(),
        None => -now.duration_since(deadline).as_secs_f64(),
    };
    progress.deadline().map(|deadline| seconds(deadline).round())
}

/// Lets seconds pass.
fn pass(progress: &Progress, seconds: u64) {
    let mut state = progress.lock();
    state.since -= Duration::from_secs(seconds);
    state.sent_at -= Duration::from_secs(seconds);
}

#[tokio::test]
async fn each_phase_has_its_limit() {
    let progress = Progress::new(LIMITS);
    pass(&progress, 1);
    assert_eq!(left(&progress), Some(74.0));
    assert!(progress.bytes_received());
    pass(&progress, 2);
    assert!(progress.bytes_received());
    assert_eq!(left(&progress), Some(8.0), "since the first byte");
    assert!(progress.request_started());
    pass(&progress, 1000);
    assert_eq!(left(&progress), None);
    progress.response_started(false, None);
    assert_eq!(left(&progress), Some(20.0));
    progress.body_complete();
    progress.flushed();
    assert_eq!(left(&progress), Some(75.0));
}

#[tokio::test]
async fn an_answer_must_be_read_steadily_and_at_some_rate() {
    let progress = Progress::new(LIMITS);
    assert!(progress.request_started());
    progress.response_started(false, None);
    for _ in 0..100 {
        pass(&progress, 1);
        assert!(left(&progress).is_some_and(|left| left > 1.0), "100 kB a second are fine");
        progress.bytes_sent(100_000);
    }
    pass(&progress, 21);
    assert_eq!(left(&progress), Some(-1.0), "silence is not");
    progress.response_started(false, None);
    for _ in 0..29 {
        pass(&progress, 1);
        progress.bytes_sent(1);
    }
    assert_eq!(left(&progress), Some(1.0), "a byte a second is not");
    progress.flushed();
    assert_eq!(progress.phase(), Phase::Responding, "there is more of it");
}

#[tokio::test]
async fn only_an_idle_connection_is_evicted_and_reads_no_more() {
    let progress = Progress::new(LIMITS);
    progress.bytes_received();
    assert!(!progress.evict() && progress.idle_since().is_none());
    assert!(progress.request_started());
    progress.response_started(false, None);
    assert!(!progress.evict());
    progress.body_complete();
    progress.flushed();
    pass(&progress, 1);
    assert!(progress.idle_since().is_some() && progress.evict());
    progress.evicted().await;
    assert!(!progress.bytes_received() && !progress.evict());
}

#[tokio::test]
async fn shutdown_waits_for_responses_and_hardly_for_requests() {
    let progress = Progress::new(LIMITS);
    progress.bytes_received();
    progress.stop();
    assert!(progress.deadline().is_some_and(|deadline| deadline <= Instant::now() + STOP_GRACE));
    assert!(progress.request_started());
    assert_eq!(left(&progress), None);
    progress.response_started(false, None);
    assert_eq!(left(&progress), Some(20.0));
}

#[tokio::test]
async fn a_connection_is_evicted_after_it_was_idle_for_a_while_and_not_before() {
    let progress = Progress::new(LIMITS);
    assert!(!progress.evict(), "its request may be on its way");
    pass(&progress, 1);
    assert!(progress.evict());
    assert!(!progress.bytes_received());
    assert!(!progress.request_started(), "the application must not begin");

    let progress = Progress::new(LIMITS);
    pass(&progress, 1);
    assert!(progress.bytes_received());
    assert!(!progress.evict(), "a request comes in");
}

//! How much memory a target takes.

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Runs `f`, and panics if it had more than `limit` bytes allocated at any time. The counters are
/// those of the process: one target runs at a time.
pub(crate) fn within<T>(limit: usize, f: impl FnOnce() -> T) -> T {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let result = f();
    let taken = ALLOCATOR.peak_usage().saturating_sub(before);
    assert!(taken <= limit, "{taken} bytes were allocated, {limit} are allowed");
    result
}

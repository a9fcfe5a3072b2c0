//! What runs on a thread of its own: servers are started and stopped by programs that block.

use tokio::runtime::Handle;
use tokio::task::{JoinHandle, spawn_blocking};

/// Runs the future that `make` returns on a thread of its own.
pub(crate) fn spawn<F: Future<Output: Send>>(
    make: impl FnOnce() -> F + Send + 'static,
) -> JoinHandle<F::Output>
where
    F::Output: 'static,
{
    let runtime = Handle::current();
    spawn_blocking(move || runtime.block_on(make()))
}

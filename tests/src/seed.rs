//! The seed of a randomized test.

/// `TEST_SEED`, or a random one. It is printed, so that a failed run can be repeated.
///
/// # Errors
/// When the variable is no number.
#[expect(clippy::print_stdout, reason = "the test's runner shows it when the test fails")]
pub fn seed() -> anyhow::Result<u64> {
    let seed = match std::env::var("TEST_SEED") {
        Ok(given) => given.parse()?,
        Err(_) => rand::random(),
    };
    println!("TEST_SEED={seed}");
    Ok(seed)
}

//! Runs the servers that tests share, and cleans up after test processes. Not run by hand.

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    stack::keeper_main(&arguments).await
}

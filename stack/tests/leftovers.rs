//! A test process that is killed leaves nothing behind.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use stack::{PostgresServer, ProcessId, Service};

/// If set, the process acts as the victim; names the file into which the victim writes what it has
/// started.
const VICTIM_SAYS: &str = "STACK_VICTIM_SAYS";

/// The process that the test kills.
async fn victim(file: &Path) -> anyhow::Result<()> {
    let server = PostgresServer::start_temporary().await?;
    let service = Service::spawn("/bin/sh", ["-c", "sleep 1000"], [("A", "b")]).await?;
    let server_pid = server.process().map_or(0, |process| process.pid);
    let folder = server.log().parent().map(Path::display).map(|folder| folder.to_string());
    let said = format!("{server_pid}\n{}\n{}\n", service.pid(), folder.unwrap_or_default());
    stack::write_private(file, &said)?;
    tokio::time::sleep(Duration::from_secs(1000)).await;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "how the test starts itself")]
#[tokio::test]
async fn a_killed_test_process_leaves_no_process_and_no_folder() -> anyhow::Result<()> {
    if let Some(file) = std::env::var_os(VICTIM_SAYS) {
        return victim(Path::new(&file)).await;
    }
    let says = stack::stack_dir()?.join(format!("victim-{}", std::process::id()));
    let mut victim = Command::new(std::env::current_exe()?)
        .args(["--exact", "a_killed_test_process_leaves_no_process_and_no_folder"])
        .env(VICTIM_SAYS, &says)
        .stdout(Stdio::null())
        .spawn()?;
    let said = loop {
        if let Ok(said) = std::fs::read_to_string(&says) {
            break said;
        }
        assert!(victim.try_wait()?.is_none(), "the victim ended too early");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    std::fs::remove_file(&says)?;
    let lines: Vec<&str> = said.lines().collect();
    let process = |line: usize| ProcessId::of(lines[line].parse().expect("a pid"));
    let (server, service) = (process(0).expect("it runs"), process(1).expect("it runs"));
    let folder = Path::new(lines[2]).parent().expect("the folder of the victim's process");
    assert!(folder.exists());

    victim.kill()?;
    victim.wait()?;
    assert!(server.wait_gone(Duration::from_secs(20)).await);
    assert!(service.wait_gone(Duration::from_secs(20)).await);
    for _ in 0..400 {
        if !folder.exists() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} is still there", folder.display());
}

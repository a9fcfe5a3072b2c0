//! Follows the services' logs in the foreground, and reports when a service ends.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::Duration;

use stack::ProcessId;

use crate::process_name::Name;
use crate::state::{self, State};
use crate::terminal::{line, nth_colour, red};

const SERVICES: [Name; 6] = [
    Name::OrderService,
    Name::OutboxRelay,
    Name::CustomerService,
    Name::CustomerConsumer,
    Name::DeadLetters,
    Name::Console,
];

/// A log, and how much of it was shown.
struct Log {
    prefix: String,
    path: PathBuf,
    position: u64,
    /// An incomplete last line.
    begun: Vec<u8>,
}

/// Shows the logs from their beginning until the stack is stopped from elsewhere.
pub(crate) async fn tail_logs() -> anyhow::Result<()> {
    let mut logs = Vec::new();
    for (n, name) in SERVICES.into_iter().enumerate() {
        let prefix = nth_colour(n, &format!("{:17} |", name.text()));
        logs.push(Log { prefix, path: state::log(name)?, position: 0, begun: Vec::new() });
    }
    let mut ended: Vec<ProcessId> = Vec::new();
    loop {
        for log in &mut logs {
            log.show_new()?;
        }
        let Some(state) = State::load()? else { return Ok(()) };
        report_ended(&state, &mut ended);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

impl Log {
    fn show_new(&mut self) -> anyhow::Result<()> {
        let Ok(mut file) = std::fs::File::open(&self.path) else { return Ok(()) };
        file.seek(SeekFrom::Start(self.position))?;
        let read = file.read_to_end(&mut self.begun)?;
        self.position += u64::try_from(read)?;

        let Some(last_end) = self.begun.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(());
        };
        let rest = self.begun.split_off(last_end + 1);
        let lines = std::mem::replace(&mut self.begun, rest);
        let mut out = std::io::stdout().lock();
        for line in String::from_utf8_lossy(&lines).lines() {
            writeln!(out, "{} {line}", self.prefix)?;
        }
        Ok(())
    }
}

/// Reports each ended process once.
fn report_ended(state: &State, ended: &mut Vec<ProcessId>) {
    for service in &state.services {
        let Some(process) = &service.process else { continue };
        if !process.is_alive() && !ended.contains(process) {
            let name = service.name.text();
            line(&format!(
                "{} {name} has ended (process {}); `cargo xtask restart {name}` starts it again",
                red("!"),
                process.pid
            ));
            ended.push(process.clone());
        }
    }
}

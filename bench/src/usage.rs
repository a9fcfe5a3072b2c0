//! The resource usage of a process, from Linux's `/proc`
//! (<https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>).

use std::time::Duration;

use anyhow::Context as _;

/// Length of a tick in `/proc`: `USER_HZ` is 100 on every architecture that the pipeline runs on.
const TICK: Duration = Duration::from_millis(10);

/// CPU time of a process in user and system mode.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    Ok(Stat::read(pid)?.own)
}

/// CPU time of a process and all its children, living and ended.
pub(crate) fn cpu_with_children(pid: u32) -> anyhow::Result<Duration> {
    let stat = Stat::read(pid)?;
    let processes = std::fs::read_dir("/proc")?.flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // A child that ends meanwhile may be missed.
    let living =
        pids.filter_map(|child| Stat::read(child).ok()).filter(|child| child.parent == pid);
    Ok(stat.own + stat.ended_children + living.map(|child| child.own).sum::<Duration>())
}

/// The resident set size of a process, in bytes.
pub(crate) fn memory(pid: u32) -> anyhow::Result<u64> {
    kilobytes(pid, "VmRSS:")
}

/// The peak resident set size of a process, in bytes.
pub(crate) fn peak_memory(pid: u32) -> anyhow::Result<u64> {
    kilobytes(pid, "VmHWM:")
}

/// The number of a process's threads.
pub(crate) fn threads(pid: u32) -> anyhow::Result<u64> {
    Ok(status(pid, "Threads:")?.parse()?)
}

/// The number of a process's open file descriptors.
pub(crate) fn open_files(pid: u32) -> anyhow::Result<u64> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .with_context(|| format!("process {pid} has ended"))?;
    Ok(files.count().try_into()?)
}

struct Stat {
    parent: u32,
    own: Duration,
    ended_children: Duration,
}

impl Stat {
    fn read(pid: u32) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .with_context(|| format!("process {pid} has ended"))?;
        Self::parse(&text).with_context(|| format!("/proc/{pid}/stat is not understood"))
    }

    fn parse(text: &str) -> Option<Self> {
        // "pid (name) state ppid …": the name may contain spaces and parentheses, so count from its
        // end.
        let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
        let ticks = |index: usize| Some(TICK * fields.get(index)?.parse::<u32>().ok()?);
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own: ticks(11)? + ticks(12)?,
            ended_children: ticks(13)? + ticks(14)?,
        })
    }
}

fn kilobytes(pid: u32, name: &str) -> anyhow::Result<u64> {
    let text = status(pid, name)?;
    let kilobytes = text.strip_suffix("kB").context("the process has no memory")?;
    Ok(kilobytes.trim().parse::<u64>()? * 1024)
}

/// A line of `/proc/PID/status`, without its name.
fn status(pid: u32, name: &str) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("process {pid} has ended"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    Ok(line.with_context(|| format!("process {pid} has no {name}"))?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_shifts_nothing() {
        let text = "7 (a) b) S 42 7 7 0 -1 4194304 100 200 0 0 150 50 30 20 20 0 5 0 1000";
        let stat = Stat::parse(text).expect("a line");
        assert_eq!(stat.parent, 42);
        assert_eq!(stat.own, Duration::from_secs(2));
        assert_eq!(stat.ended_children, Duration::from_millis(500));
    }

    #[test]
    fn this_process_has_memory() {
        let own = std::process::id();
        assert!(memory(own).expect("memory") > 0);
        assert!(threads(own).expect("threads") > 0);
        assert!(open_files(own).expect("files") > 2);
        assert!(peak_memory(own).expect("memory") >= memory(own).expect("memory") / 2);
        assert!(cpu_with_children(own).is_ok());
    }
}

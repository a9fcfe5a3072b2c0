//! Finds the process that listens on a port, as far as this user may see it.

use std::process::Command;

/// "nginx (process 123)".
pub(crate) fn port_owner(port: u16) -> Option<String> {
    let pid = from_proc(port).or_else(|| from_lsof(port))?;
    Some(format!("{} (process {pid})", name(pid).unwrap_or_else(|| "a process".to_owned())))
}

/// Finds the socket's inode in /proc/net, then the process that has it open.
fn from_proc(port: u16) -> Option<u32> {
    let socket = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let table = std::fs::read_to_string(table).ok()?;
        table.lines().find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
            let listens = fields.get(3) == Some(&"0A");
            let same = u16::from_str_radix(local_port, 16) == Ok(port);
            (listens && same).then(|| format!("socket:[{}]", fields.get(9).unwrap_or(&"")))
        })
    })?;
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let open = std::fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
        let mut targets = open.filter_map(|fd| std::fs::read_link(fd.path()).ok());
        if targets.any(|target| target.as_os_str() == socket.as_str()) {
            return Some(pid);
        }
    }
    None
}

fn from_lsof(port: u16) -> Option<u32> {
    let filter = format!("-iTCP:{port}");
    let lsof = Command::new("lsof").args(["-nP", &filter, "-sTCP:LISTEN", "-t"]).output().ok()?;
    String::from_utf8(lsof.stdout).ok()?.lines().next()?.parse().ok()
}

fn name(pid: u32) -> Option<String> {
    let from_ps = || {
        let ps = Command::new("ps").args(["-o", "comm=", "-p", &pid.to_string()]).output();
        String::from_utf8(ps.ok()?.stdout).ok()
    };
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok().or_else(from_ps)?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

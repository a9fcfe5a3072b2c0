//! Installs PostgreSQL, RabbitMQ and what else the tests need on Debian or Ubuntu; elsewhere says
//! which command does.

use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::{locate, python};

const SCRIPT: &str = include_str!("install.sh");

/// The servers missing on this machine, as names of Debian packages.
#[must_use]
pub fn missing() -> Vec<&'static str> {
    let mut packages = Vec::new();
    if locate::postgres_bin().is_none() {
        packages.push("postgresql");
    }
    if locate::rabbitmq_server().is_none() || locate::epmd().is_none() {
        packages.push("rabbitmq-server");
    }
    packages
}

/// What the tests need besides the servers and this machine lacks, as names of Debian packages:
/// Python for the examples in other languages, PgBouncer for the services behind a pooler.
#[must_use]
pub fn missing_for_tests() -> Vec<&'static str> {
    let mut packages = Vec::new();
    if python::found().is_none() {
        packages.push(python::PACKAGE);
    }
    if locate::pgbouncer().is_err() {
        packages.push("pgbouncer");
    }
    packages
}

/// What the tests of the console need and this machine lacks, as names of Debian packages.
#[must_use]
pub fn missing_browser() -> Vec<&'static str> {
    let mut packages = Vec::new();
    if locate::chrome().is_err() {
        packages.push("chromium");
    }
    if locate::chromedriver().is_err() {
        packages.push("chromium-driver");
    }
    packages
}

/// What a chaos run needs besides the servers and this machine lacks, as names of Debian packages:
/// clocks of their own for its processes, and a pooler.
#[must_use]
pub fn missing_for_chaos() -> Vec<&'static str> {
    let mut packages = Vec::new();
    if locate::faketime().is_err() {
        packages.push("libfaketime");
    }
    if locate::pgbouncer().is_err() {
        packages.push("pgbouncer");
    }
    packages
}

/// Installs packages with apt-get, as root or through passwordless sudo. Starts and enables no
/// service and creates no default database cluster. Reports progress through `say`; apt-get's own
/// output only when it fails.
///
/// # Errors
/// When it may not install on this machine, with the command to type; or when apt-get fails.
pub fn install(packages: &[&str], say: impl Fn(&str)) -> anyhow::Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let names = packages.join(" and ");
    let mut command = if locate::from_path("apt-get").is_none() {
        bail!("{names} must be installed first; type: {}", command_for_people(packages));
    } else if nix::unistd::geteuid().is_root() {
        Command::new("sh")
    } else if sudo_asks_nothing() {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "sh"]);
        sudo
    } else {
        bail!(
            "{names} must be installed first, which needs root's rights; type: {}",
            command_for_people(packages)
        );
    };
    say(&format!(
        "Installing {names} with apt-get; the system's services are neither started nor enabled …"
    ));
    let output = command.args(["-c", SCRIPT, "install"]).args(packages).stdin(Stdio::null());
    let output = output.output().context("cannot start a shell for apt-get")?;
    if !output.status.success() {
        say(&String::from_utf8_lossy(&output.stdout));
        say(&String::from_utf8_lossy(&output.stderr));
    }
    ensure!(
        output.status.success(),
        "apt-get could not install {names} ({}); its output is above. By hand: {}",
        output.status,
        command_for_people(packages)
    );
    let still = [missing(), missing_for_tests(), missing_browser()].concat();
    ensure!(
        !packages.iter().any(|package| still.contains(package)),
        "apt-get has installed {names}, but the programs are not where they are looked for"
    );
    Ok(())
}

fn sudo_asks_nothing() -> bool {
    let sudo = Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    sudo.is_ok_and(|status| status.success())
}

/// What a package is called on Debian and Ubuntu, on Fedora, and in Homebrew.
const NAMES: [[&str; 3]; 7] = [
    ["postgresql", "postgresql-server", "postgresql@17"],
    ["rabbitmq-server", "rabbitmq-server", "rabbitmq"],
    [python::PACKAGE, "python3", "python3"],
    ["pgbouncer", "pgbouncer", "pgbouncer"],
    ["chromium", "chromium", "chromium"],
    ["chromium-driver", "chromedriver", "chromedriver"],
    ["libfaketime", "libfaketime", "libfaketime"],
];

/// The command that installs packages, named as on Debian, on this kind of machine.
#[must_use]
pub(crate) fn command_for_people(packages: &[&str]) -> String {
    let named = |system: usize| {
        let rows = NAMES.iter().filter(|names| packages.contains(&names[0]));
        rows.map(|names| names[system]).collect::<Vec<_>>().join(" ")
    };
    let debian = format!("sudo apt-get update && sudo apt-get install {}", named(0));
    let fedora = format!("sudo dnf install {}", named(1));
    let homebrew = format!("brew install {}", named(2));
    for (program, command) in [("apt-get", &debian), ("dnf", &fedora), ("brew", &homebrew)] {
        if locate::from_path(program).is_some() {
            return command.clone();
        }
    }
    format!("{debian} (Debian, Ubuntu), {fedora} (Fedora) or {homebrew} (Homebrew)")
}

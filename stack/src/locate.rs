//! Finds the servers' programs, in PATH and in the places where distributions install them outside
//! of it.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// The folder of PostgreSQL's server programs (`initdb`, `postgres`); the newest version if there
/// are several.
pub(crate) fn postgres_bin() -> Option<PathBuf> {
    let in_path = from_path("postgres").and_then(|program| Some(program.parent()?.to_owned()));
    let known = [
        "/usr/lib/postgresql/*/bin", // Debian, Ubuntu
        "/usr/pgsql-*/bin",          // the PostgreSQL project's RPMs
        "/usr/bin",                  // Fedora, Arch
        "/opt/homebrew/opt/postgresql@*/bin",
        "/opt/homebrew/opt/postgresql/bin",
        "/usr/local/opt/postgresql@*/bin",
        "/usr/local/pgsql/bin",
    ];
    in_path
        .into_iter()
        .chain(known.iter().flat_map(|pattern| newest_first(pattern)))
        .find(|bin| bin.join("initdb").is_file() && bin.join("postgres").is_file())
}

/// RabbitMQ's own start script, not Debian's wrapper in PATH, which changes the user and uses the
/// system's node.
pub(crate) fn rabbitmq_server() -> Option<PathBuf> {
    let in_path =
        from_path("rabbitmq-server").and_then(|program| Some(program.parent()?.to_owned()));
    let known = [
        "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin", // Debian, Ubuntu, Fedora
        "/opt/homebrew/opt/rabbitmq/sbin",
        "/usr/local/opt/rabbitmq/sbin",
        "/opt/rabbitmq/sbin",
        "/opt/rabbitmq_server-*/sbin",
    ];
    in_path
        .into_iter()
        .chain(known.iter().flat_map(|pattern| newest_first(pattern)))
        .find(|sbin| sbin.join("rabbitmq-env").is_file())
        .map(|sbin| sbin.join("rabbitmq-server"))
}

/// PostgreSQL's interactive terminal.
///
/// # Errors
/// When it is not installed.
pub fn psql() -> anyhow::Result<PathBuf> {
    let beside = postgres_bin().map(|bin| bin.join("psql")).filter(|program| program.is_file());
    // Debian's `psql` links to a script that serves many programs and must be called as `psql`.
    or_missing(beside.or_else(|| in_path("psql")), "PostgreSQL")
}

/// `PgBouncer`: the program that the variable `PGBOUNCER` names, or the one in PATH or /usr/sbin.
///
/// # Errors
/// When it is not installed.
pub fn pgbouncer() -> anyhow::Result<PathBuf> {
    let named = std::env::var_os("PGBOUNCER").map(PathBuf::from);
    let known = || Some(PathBuf::from("/usr/sbin/pgbouncer")).filter(|program| program.is_file());
    named.or_else(|| from_path("pgbouncer")).or_else(known).with_context(|| {
        let command = crate::install::command_for_people(&["pgbouncer"]);
        format!("PgBouncer is not installed; type: {command}")
    })
}

/// Chrome or Chromium.
///
/// # Errors
/// When it is not installed.
pub fn chrome() -> anyhow::Result<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
    let of_macos = PathBuf::from("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome");
    let of_macos = Some(of_macos).filter(|program| program.is_file());
    // Debian's is a script that finds its program beside the name it is called by.
    let found = names.iter().find_map(|name| in_path(name)).or(of_macos);
    found.with_context(|| no_browser("Chrome"))
}

/// The program that drives Chrome for tests.
///
/// # Errors
/// When it is not installed.
pub fn chromedriver() -> anyhow::Result<PathBuf> {
    in_path("chromedriver").with_context(|| no_browser("chromedriver"))
}

/// The library that gives a process a clock of its own: <https://github.com/wolfcw/libfaketime>.
///
/// # Errors
/// When it is not installed.
pub fn faketime() -> anyhow::Result<PathBuf> {
    let known = ["/usr/lib/*/faketime", "/usr/lib64/faketime", "/usr/local/lib/faketime"];
    let folders = known.iter().flat_map(|pattern| newest_first(pattern));
    let mut libraries = folders.map(|folder| folder.join("libfaketimeMT.so.1"));
    libraries.find(|library| library.is_file()).with_context(|| {
        let command = crate::install::command_for_people(&["libfaketime"]);
        format!("libfaketime is not installed: {command}")
    })
}

fn no_browser(program: &str) -> String {
    format!(
        "{program} is not installed: run `cargo xtask test`, which installs it where it may, or install it yourself: {}",
        crate::install::command_for_people(&["chromium", "chromium-driver"])
    )
}

/// Erlang's port mapper.
pub(crate) fn epmd() -> Option<PathBuf> {
    let known = [
        "/usr/lib/erlang/erts-*/bin",
        "/usr/lib64/erlang/erts-*/bin",
        "/usr/local/lib/erlang/erts-*/bin",
        "/opt/homebrew/opt/erlang/lib/erlang/erts-*/bin",
        "/usr/local/opt/erlang/lib/erlang/erts-*/bin",
        "/opt/erlang/lib/erlang/erts-*/bin",
    ];
    from_path("epmd").or_else(|| {
        known
            .iter()
            .flat_map(|pattern| newest_first(pattern))
            .map(|bin| bin.join("epmd"))
            .find(|program| program.is_file())
    })
}

/// Returns an error that says which server is missing and how to install it.
pub(crate) fn or_missing<T>(found: Option<T>, name: &str) -> anyhow::Result<T> {
    found.with_context(|| {
        format!(
            "{name} is not installed: run `cargo xtask test` or `cargo xtask up`, which install it \
             where they may, or install it yourself: {}",
            crate::install::command_for_people(&["postgresql", "rabbitmq-server"])
        )
    })
}

/// The program found in PATH, with symbolic links resolved, so that its siblings are in the same
/// folder.
pub(crate) fn from_path(program: &str) -> Option<PathBuf> {
    in_path(program)?.canonicalize().ok()
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|found| found.is_file())
}

/// The folders that match a path with at most one `*`; the highest version first.
fn newest_first(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return vec![PathBuf::from(pattern)];
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let rest = after.trim_start_matches('/');
    let Ok(entries) = Path::new(parent).read_dir() else {
        return Vec::new();
    };

    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort_by_key(|name| std::cmp::Reverse(version(&name[prefix.len()..])));
    names.iter().map(|name| Path::new(parent).join(name).join(rest)).collect()
}

fn version(text: &str) -> Vec<u32> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(version("15") > version("9.6"));
        assert!(version("4.0.10") > version("4.0.9"));
    }
}

//! The command that starts a node, isolated from the system's configuration.

use std::path::Path;
use std::process::Command;

use super::RabbitServer;

impl RabbitServer {
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear();
        for name in ["PATH", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        let in_dir = |name: &str| self.dir.join(name);
        command
            .current_dir(&self.dir)
            .env("HOME", &self.dir)
            .env("LC_ALL", "C.UTF-8")
            .env("RABBITMQ_NODENAME", &self.settings.node)
            .env("RABBITMQ_DIST_PORT", self.settings.dist_port.to_string())
            .env("RABBITMQ_MNESIA_BASE", in_dir("data"))
            .env("RABBITMQ_LOG_BASE", in_dir("log"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", in_dir("generated"))
            .env("RABBITMQ_CONFIG_FILE", in_dir("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", in_dir("enabled_plugins"))
            // Keeps the system's settings out; these three files need not exist.
            .env("RABBITMQ_CONF_ENV_FILE", in_dir("rabbitmq-env.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", in_dir("advanced.config"))
            .env("RABBITMQ_CONFIG_FILES", in_dir("conf.d"))
            .env("ERL_EPMD_PORT", self.settings.epmd_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            // Makes the script exec the Erlang VM, so that the child's pid is the broker's.
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1} \
                 +sbwt none +sbwtdcpu none +sbwtdio none",
            );
        command
    }
}

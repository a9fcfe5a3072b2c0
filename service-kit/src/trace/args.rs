//! The settings of traces.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use opentelemetry_sdk::trace::Sampler;
use url::Url;

use super::headers::ExportHeaders;
use crate::config::read_file;

/// Settings of traces, named as OpenTelemetry does
/// (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>). Its SDK
/// reads `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_BSP_*` by itself.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Traces")]
pub struct TraceArgs {
    /// The collector that spans are sent to, by OTLP over HTTP: http://collector:4318. Without one
    /// there are none
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otel_exporter_otlp_endpoint: Option<Endpoint>,

    /// Headers for the collector, such as its key: name=value, separated by commas, with %XX where
    /// need be
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_HEADERS",
        hide_env_values = true,
        value_name = "HEADERS"
    )]
    otel_exporter_otlp_headers: Option<ExportHeaders>,

    /// A file that holds `OTEL_EXPORTER_OTLP_HEADERS`
    #[arg(long, env = "OTEL_EXPORTER_OTLP_HEADERS_FILE", value_name = "FILE", value_parser = read_file::<ExportHeaders>, conflicts_with = "otel_exporter_otlp_headers")]
    otel_exporter_otlp_headers_file: Option<ExportHeaders>,

    /// The name under which the spans of this process are found; its program's when none is given
    #[arg(long, env = "OTEL_SERVICE_NAME", value_name = "NAME")]
    pub otel_service_name: Option<String>,

    /// Which traces are kept; parentbased: those that whoever asks keeps
    #[arg(
        long,
        env = "OTEL_TRACES_SAMPLER",
        value_enum,
        default_value = "parentbased_always_on",
        value_name = "SAMPLER"
    )]
    pub otel_traces_sampler: SamplerName,

    /// How much of them the samplers by ratio keep, from 0 to 1
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", value_parser = ratio, default_value = "1", value_name = "RATIO")]
    pub otel_traces_sampler_arg: f64,
}

impl TraceArgs {
    /// Returns the collector's URL, if any. In OpenTelemetry an empty value is the same as none.
    pub(super) fn collector(&self) -> Option<&Url> {
        self.otel_exporter_otlp_endpoint.as_ref()?.0.as_ref()
    }

    /// Returns the headers for the collector, whichever way they were given.
    pub(super) fn headers(&self) -> ExportHeaders {
        let file = self.otel_exporter_otlp_headers_file.as_ref();
        self.otel_exporter_otlp_headers.as_ref().or(file).cloned().unwrap_or_default()
    }

    pub(super) fn sampler(&self) -> Sampler {
        let ratio = Sampler::TraceIdRatioBased(self.otel_traces_sampler_arg);
        match self.otel_traces_sampler {
            SamplerName::AlwaysOn => Sampler::AlwaysOn,
            SamplerName::AlwaysOff => Sampler::AlwaysOff,
            SamplerName::Traceidratio => ratio,
            SamplerName::ParentbasedAlwaysOn => Sampler::ParentBased(Box::new(Sampler::AlwaysOn)),
            SamplerName::ParentbasedAlwaysOff => Sampler::ParentBased(Box::new(Sampler::AlwaysOff)),
            SamplerName::ParentbasedTraceidratio => Sampler::ParentBased(Box::new(ratio)),
        }
    }
}

/// `OTEL_TRACES_SAMPLER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum SamplerName {
    /// All
    AlwaysOn,
    /// None
    AlwaysOff,
    /// A part of them
    Traceidratio,
    /// Those that whoever asks keeps, and all that begin here
    ParentbasedAlwaysOn,
    /// Those that whoever asks keeps, and none that begin here
    ParentbasedAlwaysOff,
    /// Those that whoever asks keeps, and a part of those that begin here
    ParentbasedTraceidratio,
}

/// The collector's URL: `http` or `https`, without credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(Option<Url>);

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "it must look like http://host:4318";
        if text.is_empty() {
            return Ok(Self(None));
        }
        let url: Url = text.parse().map_err(|_| FORM.to_owned())?;
        if !matches!(url.scheme(), "http" | "https") || url.query().is_some() {
            return Err(FORM.to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it must not hold a user or a password".to_owned());
        }
        Ok(Self(Some(url)))
    }
}

fn ratio(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err("it must be from 0 to 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::{SettingsError, try_parse_from};

    #[derive(Debug, Parser)]
    struct Settings {
        #[command(flatten)]
        trace: TraceArgs,
    }

    fn parse(args: &[&str]) -> Result<TraceArgs, String> {
        match try_parse_from::<Settings>([&["test"], args].concat()) {
            Ok(settings) => Ok(settings.trace),
            Err(SettingsError::Setting(sentence)) => Err(sentence),
            Err(SettingsError::Clap(error)) => Err(error.to_string()),
        }
    }

    #[test]
    fn without_an_endpoint_nothing_is_exported() {
        assert!(parse(&[]).expect("no settings").collector().is_none());
        let empty = parse(&["--otel-exporter-otlp-endpoint", ""]).expect("an empty one");
        assert!(empty.collector().is_none());
        let given = parse(&["--otel-exporter-otlp-endpoint", "http://c:4318"]).expect("one");
        assert_eq!(given.collector().map(Url::as_str), Some("http://c:4318/"));
    }

    #[test]
    fn samplers_have_the_names_of_opentelemetry() {
        let sampler = |args: &[&str]| format!("{:?}", parse(args).expect("good").sampler());
        assert_eq!(sampler(&[]), "ParentBased(AlwaysOn)");
        for (name, means) in [
            ("always_on", "AlwaysOn"),
            ("always_off", "AlwaysOff"),
            ("traceidratio", "TraceIdRatioBased(0.25)"),
            ("parentbased_always_off", "ParentBased(AlwaysOff)"),
            ("parentbased_traceidratio", "ParentBased(TraceIdRatioBased(0.25))"),
        ] {
            let args = ["--otel-traces-sampler", name, "--otel-traces-sampler-arg", "0.25"];
            assert_eq!(sampler(&args), means);
        }
    }

    #[test]
    fn a_wrong_setting_is_named_and_no_secret_shown() {
        for (flag, value, name) in [
            ("--otel-exporter-otlp-endpoint", "collector:4318", "OTEL_EXPORTER_OTLP_ENDPOINT"),
            ("--otel-exporter-otlp-endpoint", "http://u:hunter2@c", "OTEL_EXPORTER_OTLP_ENDPOINT"),
            ("--otel-traces-sampler", "some", "OTEL_TRACES_SAMPLER"),
            ("--otel-traces-sampler-arg", "2", "OTEL_TRACES_SAMPLER_ARG"),
            ("--otel-traces-sampler-arg", "NaN", "OTEL_TRACES_SAMPLER_ARG"),
            ("--otel-exporter-otlp-headers", "hunter2", "OTEL_EXPORTER_OTLP_HEADERS"),
        ] {
            let sentence = parse(&[flag, value]).expect_err(value);
            assert!(sentence.starts_with(&format!("{name}: ")), "{sentence}");
        }
        let given = parse(&["--otel-exporter-otlp-headers", "api-key=hunter2"]).expect("good");
        assert!(!format!("{given:?}").contains("hunter2"), "{given:?}");
    }
}

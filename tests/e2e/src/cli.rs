//! The operator's command line, run as a program.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::process::program;

/// `sluice` pointed at some control nodes.
#[derive(Clone, Debug)]
pub struct Cli {
    control: String,
    arguments: Vec<String>,
}

impl Cli {
    /// A command line for these control URLs.
    #[must_use]
    pub fn new(control: &[String]) -> Self {
        Self { control: control.join(","), arguments: Vec::new() }
    }

    /// The same with more global arguments.
    #[must_use]
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|each| (*each).to_owned()));
        self
    }

    /// Runs it and returns whatever came of it.
    ///
    /// # Panics
    /// When the program cannot be started.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_into(Stdio::piped(), arguments)
    }

    /// The same with its standard output elsewhere.
    ///
    /// # Panics
    /// As `run`.
    #[must_use]
    pub fn run_into(&self, stdout: impl Into<Stdio>, arguments: &[&str]) -> Output {
        let mut command = Command::new(program("sluice"));
        command.env("SLUICE_CONTROL", &self.control).args(&self.arguments).args(arguments);
        command.stdout(stdout).stderr(Stdio::piped()).output().expect("sluice starts")
    }

    /// Runs it, expects success, and returns its standard output.
    ///
    /// # Panics
    /// When it fails, with what it said.
    #[must_use]
    pub fn text(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "sluice {} failed with {:?}\n{}{}",
            arguments.join(" "),
            output.status.code(),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The same with `-o json`, parsed.
    ///
    /// # Panics
    /// When it fails or prints something that is not JSON.
    #[must_use]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["-o", "json"];
        all.extend(arguments);
        let text = self.text(&all);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("sluice {}: {error} in {text}", arguments.join(" ")))
    }

    /// Runs it, expects this exit status, and returns the parsed error of `-o json`.
    ///
    /// # Panics
    /// When it ends otherwise.
    #[must_use]
    pub fn refused(&self, status: i32, arguments: &[&str]) -> Value {
        let mut all = vec!["-o", "json"];
        all.extend(arguments);
        let output = self.run(&all);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "sluice {}: {error}", arguments.join(" "));
        error.lines().rev().find_map(|line| serde_json::from_str(line).ok()).unwrap_or(Value::Null)
    }
}

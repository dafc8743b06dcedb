//! Where a setting comes from, through the program itself: variables are the process's own.

use std::process::Command;

const OUT_OF_RANGE: &str = "0 is not in 1..=1024";
const NO_CLUSTER: &str = "expected --follow, --join";

/// What the program says when file, variable and flag set the cores; without a cluster it starts nothing.
fn said(file: &str, variables: &[(&str, &str)], flags: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("sluice.toml");
    std::fs::write(&path, file).expect("the folder takes files");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice-data"));
    command.env_clear().envs(variables.iter().copied()).current_dir(folder.path()).arg("--config").arg(path);
    command.args(["--listen-http", "127.0.0.1:0", "--listen-operations", "127.0.0.1:0"]).args(flags);
    let output = command.output().expect("the program starts");
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_variable_wins_over_the_file_and_a_flag_over_both() {
    let (bad, good) = ([("SLUICE_CORES", "0")], [("SLUICE_CORES", "1")]);
    for (file, variables, flags, expected) in [
        ("cores = 0\n", &[][..], &[][..], OUT_OF_RANGE),
        ("cores = 0\n", &good, &[], NO_CLUSTER),
        ("cores = 1\n", &bad, &[], OUT_OF_RANGE),
        ("cores = 1\n", &bad, &["--cores", "1"], NO_CLUSTER),
        ("cores = 1\n", &good, &["--cores", "0"], OUT_OF_RANGE),
    ] {
        let found = said(file, variables, flags);
        assert!(found.contains(expected), "{file:?} {variables:?} {flags:?}: {found}");
    }
}

#[test]
fn variables_of_other_programs_do_not_keep_it_from_starting() {
    let others = [("SLUICE_TOKEN_FILE", "x"), ("SLUICE_SKIPS", "x"), ("SLUICE_RAFT__HEARTBEAT", "1s")];
    assert!(said("", &others, &[]).contains(NO_CLUSTER));
    let found = said("", &[("SLUICE_CORSE", "1")], &[]);
    assert!(found.contains("did you mean SLUICE_CORES?"), "{found}");
}

#[test]
fn an_operators_shell_neither_points_it_at_a_cluster_nor_says_which_backends_it_trusts() {
    let operator = [("SLUICE_CONTROL", "http://127.0.0.1:1"), ("SLUICE_CA_FILE", "/none"), ("SLUICE_CONTEXT", "prod")];
    assert!(said("", &operator, &[]).contains(NO_CLUSTER));
    let found = said("", &operator, &["--follow", "http://192.0.2.1:1"]);
    assert!(found.contains("192.0.2.1:1 is not on loopback"), "{found}");
}

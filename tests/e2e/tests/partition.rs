//! Machines that are cut off from each other: never two halves that both acknowledge, and one state afterwards.

use std::{path::PathBuf, process::Output};

use serde_json::Value;
use sluice_e2e::{
    netns::{Link, Network},
    process::{Process, program, skip},
    wait::eventually,
};
use tempfile::TempDir;

const TEST: &str = "a_leader_that_is_cut_off_acknowledges_nothing_and_the_others_go_on";
const CONTROL: usize = 3;
/// Hosts: the control nodes, two data nodes, the operator.
const DATA: [usize; 2] = [3, 4];
const OPERATOR: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_acknowledges_nothing_and_the_others_go_on() {
    let network = match Network::new(6) {
        Ok(network) => network,
        Err(reason) => return skip(TEST, &reason),
    };
    let folder = TempDir::new().unwrap();
    let mut lab = Lab { network, folder: folder.path().to_path_buf(), asked: (0..CONTROL).collect() };
    let mut processes = vec![lab.control(0, &["--bootstrap", "--plaintext"])];
    lab.members(1).await;
    for host in 1..CONTROL {
        processes.push(lab.control(host, &["--join", &lab.url(0)]));
        lab.members(host + 1).await;
    }
    processes.extend(DATA.map(|host| lab.data(host)));
    lab.serving(2).await;
    let api = lab.import("one");
    lab.sluice(&["api", "deploy", &api, "--stage", "prod"]).unwrap();

    let leader = lab.leader().await;
    lab.network.set_link(leader, Link::Down);
    let after = lab.patient(&["key", "create", "of-the-majority"]);
    // The command line passes over a node that cannot be reached, each time after its patience with connecting.
    lab.asked.retain(|host| *host != leader);
    let alone = lab.at(leader, &["--timeout", "3s", "key", "create", "of-the-minority"]);
    assert_eq!(alone.status.code(), Some(3), "one of three acknowledges nothing: {alone:?}");
    let alone = lab.at(leader, &["--timeout", "3s", "api", "list"]);
    assert_eq!(alone.status.code(), Some(3), "nor does it answer a read that may be old: {alone:?}");
    lab.update(&api, "two");
    let deployed = lab.patient(&["api", "deploy", &api, "--stage", "prod"]);
    let served = deployed["nodes"].as_array().unwrap().iter().filter(|node| node["state"] == "served").count();
    assert_eq!(served, 2, "data nodes leave a control node that is cut off: {deployed}");
    DATA.iter().for_each(|host| assert_eq!(lab.answers(*host, &api, "/two"), "200"));

    lab.network.set_link(leader, Link::Up);
    lab.asked = (0..CONTROL).collect();
    eventually("the node that was cut off has what the others decided", || async {
        let output = lab.at(leader, &["-o", "json", "key", "list"]);
        let keys: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {output:?}"))?;
        let names: Vec<_> = keys["items"].as_array().unwrap().iter().map(|key| key["name"].clone()).collect();
        // A request whose outcome was not known may be done later, once: its id is the same.
        let known = names.contains(&after["name"].clone()) && names.len() <= 2;
        if known { Ok(()) } else { Err(keys.to_string()) }
    })
    .await;

    lab.network.set_link(DATA[1], Link::Down);
    lab.update(&api, "three");
    let late = lab.raw(&["api", "deploy", &api, "--stage", "prod", "--wait-timeout", "3s"]);
    assert_eq!(late.status.code(), Some(5), "a data node that is cut off is not passed over: {late:?}");
    let named = String::from_utf8_lossy(&late.stderr).into_owned();
    assert!(named.contains(&lab.address(DATA[1], 8080)) && !named.contains(&lab.address(DATA[0], 8080)), "{named}");
    assert_eq!(lab.answers(DATA[0], &api, "/three"), "200");
    lab.network.set_link(DATA[1], Link::Up);
    eventually("the data node that was cut off has caught up", || async {
        let status = lab.answers(DATA[1], &api, "/three");
        if status == "200" { Ok(()) } else { Err(status) }
    })
    .await;
    drop(processes);
}

struct Lab {
    network: Network,
    folder: PathBuf,
    /// Control nodes that the operator asks.
    asked: Vec<usize>,
}

impl Lab {
    fn address(&self, host: usize, port: u16) -> String {
        format!("{}:{port}", Network::address(host))
    }

    fn url(&self, host: usize) -> String {
        format!("http://{}", self.address(host, 7100))
    }

    fn control(&self, host: usize, how: &[&str]) -> Process {
        let mut command = self.network.on(host, program("sluice-control"));
        command.arg("--data-dir").arg(self.folder.join(format!("node-{host}"))).arg("--insecure").args(how);
        command.args(["--listen-admin", &self.address(host, 7100), "--listen-peer", &self.address(host, 7101)]);
        Process::start("sluice-control", &mut command, Some(self.folder.join(format!("{host}.log"))))
    }

    fn data(&self, host: usize) -> Process {
        let urls = (0..CONTROL).map(|host| self.url(host)).collect::<Vec<_>>().join(",");
        let mut command = self.network.on(host, program("sluice-data"));
        command.arg("--data-dir").arg(self.folder.join(format!("node-{host}"))).args(["--insecure", "--follow", &urls]);
        command.args(["--listen-http", &self.address(host, 8080), "--cores", "1", "--drain-delay", "0s"]);
        Process::start("sluice-data", &mut command, Some(self.folder.join(format!("{host}.log"))))
    }

    /// The command line on the operator's machine.
    fn raw(&self, arguments: &[&str]) -> Output {
        let urls = self.asked.iter().map(|host| self.url(*host)).collect::<Vec<_>>().join(",");
        let mut command = self.network.on(OPERATOR, program("sluice"));
        command.args(["-o", "json", "--insecure", "--control", &urls]).args(arguments).output().expect("sluice starts")
    }

    fn sluice(&self, arguments: &[&str]) -> Result<Value, String> {
        let output = self.raw(arguments);
        if !output.status.success() {
            return Err(format!("{output:?}"));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| format!("{error} in {output:?}"))
    }

    /// The same, with time for an election.
    fn patient(&self, arguments: &[&str]) -> Value {
        self.sluice(&[&["--timeout", "60s"], arguments].concat()).unwrap()
    }

    /// The command line on a control node's machine against that node alone.
    fn at(&self, host: usize, arguments: &[&str]) -> Output {
        let mut command = self.network.on(host, program("sluice"));
        command.args(["--insecure", "--control", &self.url(host)]).args(arguments).output().expect("sluice starts")
    }

    async fn members(&self, wanted: usize) {
        eventually("the control nodes vote", || async {
            let status = self.sluice(&["cluster", "status"])?;
            let members = status["members"].as_array().cloned().unwrap_or_default();
            let votes = |state: &Value| state == "voter" || state == "leader";
            let voters = members.iter().filter(|member| votes(&member["state"])).count();
            if voters == wanted { Ok(()) } else { Err(status.to_string()) }
        })
        .await;
    }

    async fn serving(&self, wanted: usize) {
        eventually("the data nodes serve", || async {
            let nodes = self.sluice(&["node", "list"])?;
            let items = nodes["items"].as_array().cloned().unwrap_or_default();
            let serving = items.iter().filter(|node| node["role"] == "data" && node["state"] == "serving").count();
            if serving == wanted { Ok(()) } else { Err(nodes.to_string()) }
        })
        .await;
    }

    /// The leader's host: control nodes join in the order of their hosts, and raft ids are those of joining, from 1.
    async fn leader(&self) -> usize {
        let leader = eventually("there is a leader", || async {
            let status = self.sluice(&["cluster", "status"])?;
            status["leader"].as_u64().filter(|leader| *leader > 0).ok_or(status.to_string())
        })
        .await;
        usize::try_from(leader - 1).unwrap()
    }

    fn import(&self, path: &str) -> String {
        let file = sluice_e2e::fixture::mock(&self.folder, path, &[&format!("/{path}")]);
        self.sluice(&["api", "import", file.to_str().unwrap()]).unwrap()["id"].as_str().unwrap().to_owned()
    }

    fn update(&self, api: &str, path: &str) {
        let file = sluice_e2e::fixture::mock(&self.folder, path, &[&format!("/{path}")]);
        drop(self.patient(&["api", "import", file.to_str().unwrap(), "--update", api]));
    }

    /// The status that a data node answers on its own machine.
    fn answers(&self, host: usize, api: &str, path: &str) -> String {
        let url = format!("http://{}/prod{path}", self.address(host, 8080));
        let name = format!("host: {api}.execute-api.localhost");
        let output =
            self.network.run(host, "curl", &["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", &name, &url]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

//! The programs that ask real parsers, one process for all inputs of a kind.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use super::Answers;
use crate::harness::{Connection, Request, await_that, free_address, have, npm_folder};

/// What a parser took for the value: nothing at all if it refused the input, else each text within, as bytes.
pub type Reading = Option<Vec<Vec<u8>>>;

const PROGRAMS: [(&str, &str); 4] =
    [("node", "reader.mjs"), ("python3", "reader.py"), ("ruby", "reader.rb"), ("php", "reader.php")];

/// The folder with the programs and what they need.
pub struct Readers {
    folder: PathBuf,
}

impl Readers {
    /// `None` where a language is missing, and not under CI.
    pub fn here() -> Option<Self> {
        if !have(&PROGRAMS.map(|(program, _)| program)) {
            return None;
        }
        npm_folder("parsers").map(|folder| Self { folder })
    }

    /// What every parser of a kind (`query`, `body`, `fields`) takes for the value of `name` in each input.
    pub fn ask(&self, kind: &str, name: &str, inputs: &[Vec<u8>]) -> Answers {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("inputs");
        fs::write(&file, inputs.iter().map(|input| hex(input) + "\n").collect::<String>()).unwrap();
        let mut answers = BTreeMap::new();
        for (program, script) in PROGRAMS {
            // A head reaches PHP over a connection only, see [`PhpServer`].
            if (program, kind) == ("php", "fields") {
                continue;
            }
            let name = if program == "node" && kind == "fields" { name.to_lowercase() } else { name.to_owned() };
            let output = Command::new(program)
                .args([script, kind, &name])
                .current_dir(&self.folder)
                .stdin(File::open(&file).unwrap())
                .output()
                .expect("it was there before");
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{script}: {told}");
            let text = String::from_utf8(output.stdout).unwrap();
            let mut lines = text.lines();
            let readers: Vec<String> = serde_json::from_str(lines.next().unwrap()).unwrap();
            let readings: Vec<Vec<Option<Vec<String>>>> =
                lines.map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(readings.len(), inputs.len(), "{script}: {told}");
            for (place, reader) in readers.into_iter().enumerate() {
                let column = readings
                    .iter()
                    .map(|row| row[place].as_ref().map(|values| values.iter().map(|value| unhex(value)).collect()));
                answers.insert(format!("{program} {reader}"), column.collect());
            }
        }
        answers
    }
}

/// PHP's own server, with a script that tells its variables.
pub struct PhpServer {
    process: Child,
    address: SocketAddr,
}

impl PhpServer {
    pub fn start(readers: &Readers) -> Self {
        let address = free_address();
        let process = Command::new("php")
            .args(["-S", &address.to_string(), "reader.php"])
            .current_dir(&readers.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("php runs");
        let server = Self { process, address };
        await_that("PHP's server", || std::net::TcpStream::connect(address).is_ok());
        server
    }

    /// What its variables, and its list of fields, say of `name`.
    pub fn ask(&self, request: &Request, name: &str) -> [(String, Vec<Vec<u8>>); 2] {
        let mut request = request.clone();
        request.target = format!("/?name={name}");
        let reply = Connection::open(self.address).exchange(&request);
        let [variable, field]: [Vec<String>; 2] =
            serde_json::from_slice(&reply.body).unwrap_or_else(|_| panic!("{}", reply.summary()));
        let values = |texts: Vec<String>| texts.iter().map(|text| unhex(text)).collect();
        [("PHP variable".to_owned(), values(variable)), ("PHP getallheaders".to_owned(), values(field))]
    }
}

impl Drop for PhpServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(byte).collect()
}

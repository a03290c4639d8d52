use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use serde_json::{Value, json};

use crate::{
    app::exposed_files,
    config::{self, Config, Problems},
    domain::printable,
};

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines for people and editors.
    Text,
    /// One JSON document.
    Json,
}

/// `scopegate check`: every problem of the file at `path`, or what it configures.
///
/// Files with secrets that others may read are warned of on `err`. As text, problems go to `err` as `file:line:column: message`, one a line. As JSON they go to `out`, an array of
/// `{file, line, column, message}`, empty for a good file; a problem of the whole file has neither line nor column.
/// Exit code 0 for a good file, 1 for any other.
pub fn run(path: &Path, format: Format, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode {
    let checked = config::load(path);
    let good = checked.is_ok();
    if let (Ok(config), Format::Text) = (&checked, format) {
        // Whoever checks is told; whether a warning can be written decides nothing.
        for exposed in exposed_files(config) {
            let _ = writeln!(err, "warning: {}", printable(&exposed));
        }
    }
    let written = match (checked, format) {
        (Ok(config), Format::Text) => writeln!(out, "{}", summary(path, &config)),
        (Err(problems), Format::Text) => writeln!(err, "{problems}"),
        (Ok(_), Format::Json) => writeln!(out, "[]"),
        (Err(problems), Format::Json) => writeln!(out, "{}", document(&problems)),
    };
    if good && delivered(written) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A reader that closed its end early has seen what it wanted.
fn delivered(written: io::Result<()>) -> bool {
    written.map_or_else(|error| error.kind() == io::ErrorKind::BrokenPipe, |()| true)
}

fn summary(path: &Path, config: &Config) -> String {
    let routes = count(config.routes.routes().len(), "route", "routes");
    let upstreams = count(config.upstreams.len(), "upstream", "upstreams");
    format!("{}: ok ({routes}, {upstreams})", path.display())
}

fn count(number: usize, one: &str, many: &str) -> String {
    let noun = if number == 1 { one } else { many };
    format!("{number} {noun}")
}

fn document(problems: &Problems) -> Value {
    let file = problems.path().display().to_string();
    let problem = |problem: &config::Problem| {
        let (line, column) = problem.place.map(|place| (place.line, place.column)).unzip();
        json!({"file": file, "line": line, "column": column, "message": problem.message})
    };
    problems.iter().map(problem).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, format: Format) -> (ExitCode, String, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.yaml");
        std::fs::write(&path, text).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(&path, format, &mut out, &mut err);
        let text = |bytes| String::from_utf8(bytes).unwrap().replace(path.to_str().unwrap(), "gateway.yaml");
        (code, text(out), text(err))
    }

    const GOOD: &str = "upstreams: {a: {servers: ['127.0.0.1:9000']}}\nroutes:\n- {match: GET /a, public: true}\n- {match: GET /b, public: true}\n";
    const BAD: &str = "upstreams: {a: {servers: ['127.0.0.1:9000']}}\nruotes: 1\n";

    #[test]
    fn a_good_file_is_summed_up_on_one_line() {
        let expected = "gateway.yaml: ok (2 routes, 1 upstream)\n".to_owned();
        assert_eq!(check(GOOD, Format::Text), (ExitCode::SUCCESS, expected, String::new()));
        assert_eq!(check(GOOD, Format::Json), (ExitCode::SUCCESS, "[]\n".to_owned(), String::new()));
    }

    #[test]
    fn problems_of_a_bad_file_are_lines_on_stderr() {
        let expected =
            "gateway.yaml:1:1: missing key `routes`\ngateway.yaml:2:1: unknown key `ruotes`; did you mean `routes`?\n";
        assert_eq!(check(BAD, Format::Text), (ExitCode::FAILURE, String::new(), expected.to_owned()));
    }

    #[test]
    fn problems_as_json_are_an_array() {
        let (code, out, err) = check(BAD, Format::Json);
        assert_eq!((code, err.as_str()), (ExitCode::FAILURE, ""));
        let expected = json!([
            {"file": "gateway.yaml", "line": 1, "column": 1, "message": "missing key `routes`"},
            {"file": "gateway.yaml", "line": 2, "column": 1, "message": "unknown key `ruotes`; did you mean `routes`?"},
        ]);
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), expected);
    }

    #[test]
    fn a_file_that_is_missing_is_a_problem_without_a_place() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert_eq!(run(Path::new("/nowhere/g.yaml"), Format::Text, &mut out, &mut err), ExitCode::FAILURE);
        assert!(String::from_utf8(err).unwrap().starts_with("/nowhere/g.yaml: cannot be read: "));
    }
}

use std::{io, net::SocketAddr, path::Path};

use scopegate::{
    config::{Config, Problem, parse_with},
    policy::Access,
};

/// Every problem is told on one line, with a place inside the text, and the same each time. A configuration that passes
/// leaves nothing open: it listens, each route has an upstream, and says who may use it.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let parse = || parse_with(text, Path::new("etc/gateway.yaml"), resolve);
    match parse() {
        Ok(config) => assert_complete(&config),
        Err(problems) => {
            assert!(problems.iter().count() > 0);
            problems.iter().for_each(|problem| assert_placed(problem, text));
            let again = parse().map(|_| ()).map_err(|problems| problems.to_string());
            assert_eq!(again, Err(problems.to_string()));
        }
    }
}

/// Nobody is asked: some names have an address, some have none, some do not exist.
fn resolve(server: &str) -> io::Result<Vec<SocketAddr>> {
    match server.len() % 3 {
        0 => Ok(vec![SocketAddr::from(([127, 0, 0, 1], 9000))]),
        1 => Ok(Vec::new()),
        _ => Err(io::Error::other("no such name")),
    }
}

fn assert_complete(config: &Config) {
    assert!(!config.listen.is_empty() && config.threads > 0 && !config.issuer.lifetime.is_zero());
    assert!(!config.routes.routes().is_empty());
    for route in config.routes.routes() {
        assert!(!config.upstream(route.upstream).servers.is_empty());
        assert!(!matches!(route.access, Access::AnyOf(scopes) if scopes.is_empty()));
    }
}

fn assert_placed(problem: &Problem, text: &str) {
    let plain = !problem.message.is_empty() && !problem.message.chars().any(char::is_control);
    assert!(plain, "{problem:?} is not one line");
    let Some(place) = problem.place else { return };
    // YAML ends a line at a lone CR too. One line more and one column more: the end of the text.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let line = text.lines().chain([""]).nth(place.line - 1);
    let inside = line.is_some_and(|line| (1..=line.chars().count() + 1).contains(&place.column));
    assert!(inside, "{problem:?} lies outside");
}

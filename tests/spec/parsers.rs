//! Section 4, step 5, against the parsers of real servers: of generated queries, bodies and header fields that the gateway
//! admits, none of them reads another application out than the token's.
//!
//! `SCOPEGATE_GENERATED` says how many inputs of each kind are made (50,000 unless set), `SCOPEGATE_SEED` from which seed.

mod generate;
#[path = "../fuzz/src/json.rs"]
mod json;
mod readers;

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use scopegate::{
    domain::{ApplicationId, Reason},
    policy::{ApplicationPlaces, HeadLimits, JsonPointer, Parts, RequestTarget, bind, check_head, find_string},
};

use self::{
    generate::{Generator, generated},
    json::Kind,
    readers::{PhpServer, Readers, Reading},
};
use crate::harness::{APP, Gateway, OTHER, Reply, Request};

const NAME: &str = "applicationId";
const FIELD: &str = "X-Chosen-Application";
const OURS: &str = "ours";
const ELSE: &str = "else";

/// Ways to read a name without case: ASCII letters alone, all letters one way or the other, both in turn.
const FOLDS: [fn(&str) -> String; 5] = [
    str::to_ascii_lowercase,
    str::to_lowercase,
    str::to_uppercase,
    |name| name.to_uppercase().to_lowercase(),
    |name| name.to_lowercase().to_uppercase(),
];

#[test]
fn the_parsers_do_differ() {
    let Some(readers) = Readers::here() else { return };
    for (kind, name, input, who, reads) in [
        ("query", NAME, "applicationId=ours&[applicationId]=else", "ruby Rack nested", vec![ELSE]),
        ("query", NAME, "applicationId=ours&[applicationId]=else", "node Express 4 extended", vec![OURS, ELSE]),
        ("query", NAME, "applicationId=ours&.applicationId=else", "node qs allowDots", vec![OURS, ELSE]),
        ("query", NAME, "applicationId=ours&applicationId%00x=else", "php parse_str", vec![ELSE]),
        ("query", "task_id", "task_id=ours&task.id=else", "php parse_str", vec![ELSE]),
        ("query", NAME, "applicationId=ours&applicationId=else", "python3 parse_qs", vec![OURS, ELSE]),
        ("body", NAME, r#"{"applicationId":"ours","applicationId":"else"}"#, "node JSON.parse", vec![ELSE]),
        (
            "body",
            NAME,
            r#"{"applicationId":"ours","applicationId":"else"}"#,
            "python3 json.loads, first of two",
            vec![OURS],
        ),
        ("body", NAME, r#"{"x":"\ud800","applicationId":"ours"}"#, "python3 json.loads", vec![OURS]),
        (
            "fields",
            FIELD,
            "GET / HTTP/1.1\r\nHost: a\r\nX-Chosen-Application: ours\r\nX_Chosen_Application: else\r\n\r\n",
            "python3 wsgiref",
            vec!["ours,else"],
        ),
        (
            "fields",
            FIELD,
            "GET / HTTP/1.1\r\nHost: a\r\nX-Chosen-Application: ours\r\nX_Chosen_Application: else\r\n\r\n",
            "ruby WEBrick variable",
            vec![ELSE],
        ),
    ] {
        let answers = readers.ask(kind, name, &[input.as_bytes().to_vec()]);
        let reads = reads.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
        assert_eq!(answers[who], [Some(reads)], "{who}: {input}");
    }
}

#[test]
fn no_parser_reads_another_application_out_of_an_admitted_query() {
    let Some(readers) = Readers::here() else { return };
    for (name, count) in [(NAME, generated()), ("task_id", generated() / 5)] {
        let mut generator = Generator::new("query", OURS, ELSE);
        let places = ApplicationPlaces { query: Some(name.into()), ..ApplicationPlaces::default() };
        let queries = (0..count).map(|_| generator.query(name));
        let admitted: Vec<String> = queries.filter(|query| judge_query(&places, query, OURS).is_ok()).collect();
        for query in &admitted {
            for (model, values) in models_of_queries(query, name) {
                assert!(values.iter().all(|value| value == OURS), "{model} reads {values:?}: {query}\n{generator}");
            }
        }
        let inputs: Vec<Vec<u8>> = admitted.iter().map(|query| query.as_bytes().to_vec()).collect();
        assert_one_reading(&readers.ask("query", name, &inputs), &inputs, OURS, &generator);
    }
}

#[test]
fn no_parser_reads_another_application_out_of_an_admitted_body() {
    let Some(readers) = Readers::here() else { return };
    let mut generator = Generator::new("body", OURS, ELSE);
    let pointer = JsonPointer::parse("/applicationId").unwrap();
    let bodies = (0..generated()).map(|_| generator.body(NAME));
    let is_admitted = |body: &Vec<u8>| find_string(body, &pointer) == Ok(Some(OURS.to_owned()));
    let admitted: Vec<Vec<u8>> = bodies.filter(is_admitted).collect();
    for body in &admitted {
        let text = String::from_utf8_lossy(body);
        let document = json::read(body).unwrap_or_else(|| panic!("no JSON: {text}\n{generator}"));
        let Kind::Object(members) = &document.kind else { panic!("no object: {text}\n{generator}") };
        for fold in FOLDS {
            let mut alike = members.iter().filter(|(own, _)| fold(own) == fold(NAME));
            let ours = alike.all(|(_, value)| matches!(&value.kind, Kind::Text(text) if text == OURS));
            assert!(ours, "without case it reads otherwise: {text}\n{generator}");
        }
    }
    assert_one_reading(&readers.ask("body", NAME, &admitted), &admitted, OURS, &generator);
}

#[test]
fn no_server_reads_another_application_out_of_admitted_fields() {
    let Some(readers) = Readers::here() else { return };
    let mut generator = Generator::new("fields", OURS, ELSE);
    let admitted: Vec<Request> = (0..generated() / 5)
        .map(|_| generator.fields(FIELD))
        .filter(|request| judge_fields(request, OURS).is_ok())
        .collect();
    let inputs: Vec<Vec<u8>> = admitted.iter().map(|request| request.bytes("a")).collect();
    assert_one_reading(&readers.ask("fields", FIELD, &inputs), &inputs, OURS, &generator);
    assert_json(&readers.ask("fields", "Content-Type", &inputs), &inputs, &generator);
    let php = PhpServer::start(&readers);
    let some = &admitted[..admitted.len().min(500)];
    for name in [FIELD, "Content-Type"] {
        let mut answers = Answers::new();
        for request in some {
            for (reader, reading) in php.ask(request, name) {
                answers.entry(reader).or_default().push(Some(reading));
            }
        }
        match name {
            FIELD => assert_one_reading(&answers, &inputs[..some.len()], OURS, &generator),
            _ => assert_json(&answers, &inputs[..some.len()], &generator),
        }
    }
}

#[test]
fn the_gateway_judges_generated_requests_as_tested_here() {
    let Some(readers) = Readers::here() else { return };
    let gateway = Gateway::start(|config| {
        config.route("{match: POST /v1/both, scope: application.session, application_id: {header: X-Chosen-Application, body: /applicationId}}");
    });
    let session = gateway.session();
    let mut generator = Generator::new("whole", APP, OTHER);
    let places = ApplicationPlaces { query: Some(NAME.into()), ..ApplicationPlaces::default() };
    let mut arrived = Vec::new();
    for _ in 0..300 {
        let query = generator.query(NAME).replace('#', "%23");
        let request = Request::get(&format!("/v1/search?{query}"));
        gateway.upstream().forget();
        let reply = gateway.send(&request.bearer(&session));
        assert_verdict(&reply, judge_query(&places, &query, APP), &format!("{query}\n{generator}"));
        if reply.status == 200 {
            assert_eq!(gateway.upstream().request().target, format!("/v1/search?{query}"));
        }
    }
    for _ in 0..300 {
        let request = generator.fields_for("/v1/both", FIELD);
        gateway.upstream().forget();
        let reply = gateway.send(&request.clone().bearer(&session));
        let text = String::from_utf8_lossy(&request.bytes("a")).into_owned();
        assert_verdict(&reply, judge_fields(&request, APP), &format!("{text}\n{generator}"));
        if reply.status == 200 {
            let seen = gateway.upstream().request();
            arrived.push([seen.head, seen.body].concat());
        }
    }
    assert_one_reading(&readers.ask("fields", FIELD, &arrived), &arrived, APP, &generator);
}

/// What each reader read of each input.
type Answers = BTreeMap<String, Vec<Reading>>;

/// Fails if a reader found anything but ours in an input, or if one never found ours: then it was not asked well.
fn assert_one_reading(answers: &Answers, inputs: &[Vec<u8>], ours: &str, generator: &Generator) {
    assert!(inputs.len() > 30, "only {} inputs were admitted\n{generator}", inputs.len());
    for (reader, readings) in answers {
        assert_eq!(readings.len(), inputs.len(), "{reader}");
        let mut found = 0;
        for (reading, input) in readings.iter().zip(inputs) {
            let values = reading.iter().flatten();
            let other = values.clone().find(|value| value.as_slice() != ours.as_bytes());
            if let Some(other) = other {
                panic!("{reader} reads {} out of\n{}\n{generator}", other.escape_ascii(), input.escape_ascii());
            }
            found += values.count().min(1);
        }
        println!("{reader}: ours in {found} of {}", inputs.len());
        assert!(found * 2 > inputs.len(), "{reader} found ours in {found} of {} only", inputs.len());
    }
}

/// Fails if a server would read the body as anything but JSON.
fn assert_json(answers: &Answers, inputs: &[Vec<u8>], generator: &Generator) {
    for (reader, readings) in answers {
        for (reading, input) in readings.iter().zip(inputs) {
            let types: Vec<&Vec<u8>> = reading.iter().flatten().collect();
            let json = |kind: &&Vec<u8>| kind.to_ascii_lowercase().starts_with(b"application/json");
            assert!(types.len() <= 1 && types.iter().all(json), "{reader}: {}\n{generator}", input.escape_ascii());
        }
    }
}

fn assert_verdict(reply: &Reply, expected: Result<(), Reason>, what: &str) {
    match expected {
        Ok(()) => assert_eq!(reply.status, 200, "{what}"),
        Err(reason) => {
            assert!(matches!(reply.status, 400 | 403), "{} {what}", reply.status);
            assert_eq!(reply.json()["code"], reason.code(), "{what}");
        }
    }
}

fn judge_query(places: &ApplicationPlaces, query: &str, ours: &str) -> Result<(), Reason> {
    let target = format!("/x?{query}");
    let target = RequestTarget::parse(target.as_bytes()).map_err(|_| Reason::Path)?;
    let headers = HeaderMap::new();
    bind(&ApplicationId::parse(ours).unwrap(), places, &Parts { target, headers: &headers, body: b"" })
}

/// The verdict on a request whose field [`FIELD`] and JSON body name the application.
fn judge_fields(request: &Request, ours: &str) -> Result<(), Reason> {
    let bytes = request.bytes("a");
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let (head, body) = bytes.split_at(end);
    check_head(head, HeadLimits { bytes: 32 * 1024, lines: 100 }).map_err(|_| Reason::Path)?;
    let mut headers = HeaderMap::new();
    for line in head.split(|byte| *byte == b'\n').skip(1).filter(|line| line.len() > 1) {
        let colon = line.iter().position(|byte| *byte == b':').unwrap();
        let name = HeaderName::from_bytes(&line[..colon]).unwrap();
        headers.append(name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).unwrap());
    }
    let places = ApplicationPlaces {
        header: Some(FIELD.parse().unwrap()),
        body: JsonPointer::parse("/applicationId"),
        ..ApplicationPlaces::default()
    };
    let target = RequestTarget::parse(b"/x").unwrap();
    bind(&ApplicationId::parse(ours).unwrap(), &places, &Parts { target, headers: &headers, body })
}

/// Readers of queries that are not at hand here, as their documentation has them.
fn models_of_queries(query: &str, name: &str) -> Vec<(&'static str, Vec<String>)> {
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let values = |is_it: &dyn Fn(&str) -> bool| {
        pairs.iter().filter(|(own, _)| is_it(own)).map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let twice = |text: &str| {
        url::form_urlencoded::parse(text.as_bytes()).next().map_or(String::new(), |(own, _)| own.into_owned())
    };
    vec![
        ("net/url of Go", values(&|own| own == name)),
        ("ASP.NET", values(&|own| FOLDS.iter().any(|fold| fold(own) == fold(name)))),
        ("Spring", values(&|own| own.strip_suffix("[]").unwrap_or(own).trim_start_matches(['!', '_']) == name)),
        ("Zope", values(&|own| own.split(':').next() == Some(name))),
        ("a server behind one that decodes", values(&|own| twice(own) == name)),
        ("a server of strings that end with a zero byte", values(&|own| own.split('\0').next() == Some(name))),
        ("a server that trims", values(&|own| own.trim() == name)),
    ]
}

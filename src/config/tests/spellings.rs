use super::*;

#[test]
fn two_spellings_of_one_path_are_told_with_both_places() {
    let folded = |line: usize, other: usize| {
        format!(
            "{line}:13: to many servers this route and the one in line {other} are one: they differ only in letter case, a \
             spelling or what ends a segment; remove one, or set `case: sensitive` on an upstream that tells letters apart"
        )
    };
    let text = r#"upstreams: {a: {servers: ['127.0.0.1:9000']}}
routes:
  - {match: GET /a/things, scope: application}
  - {match: GET /A/Things, scope: application}
  - {match: "* /a/things.", public: true}
  - {match: POST /a/THINGS, public: true}
  - {match: "GET /b/{id}/**", public: true}
  - {match: "GET /B/{name}/**", public: true}
"#;
    // The third is at odds with both others; one sentence is enough.
    let expected = [folded(4, 3), folded(5, 3), folded(6, 5), folded(8, 7)].join("\n");
    assert_eq!(problems(text), expected);
    let sensitive = text.replace("9000']", "9000'], case: sensitive");
    assert_eq!(problems(&sensitive), folded(5, 3));
    assert_eq!(problems(&sensitive.replace("a/things.\"", "a/thing\"")), "ok");
}

#[test]
fn a_final_slash_makes_no_difference_to_what_is_asked() {
    assert_told(&[(
        "
$U
routes:
  - {match: GET /docs, public: true}
  - {match: GET /docs/, public: true}
  - {match: GET /files, public: true}
  - {match: GET /files/, scope: application}
  - {match: POST /files/, scope: application}",
        &["6:13: to many servers this route and the one in line 5 are one: they differ only in a final slash; \
           ask the same of callers on both, or remove one"],
    )]);
}

#[test]
fn an_endpoint_of_ours_has_no_other_spelling() {
    assert_told(&[(
        "
$U
routes:
  - {match: POST /v1/OAuth2/Token, public: true}
  - {match: POST /oauth2/token/, public: true}
  - {match: POST /v2/oauth2/token, public: true}",
        &[
            "3:13: `/v1/OAuth2/Token` is to many servers the same path as `/v1/oauth2/token`, one of the gateway's own endpoints",
            "4:13: `/oauth2/token/` is to many servers the same path as `/oauth2/token`, one of the gateway's own endpoints",
        ],
    )]);
}

#[test]
fn methods_are_registered_or_declared() {
    assert_told(&[
        (
            "
$U
routes:
  - {match: PSOT /a, public: true}
  - {match: PURGE /a, public: true}
  - {match: TRACE /a, public: true}
  - {match: M-SEARCH /a, public: true}
  - {match: PROPFIND /a, public: true}
  - {match: QUERY /a, public: true}",
            &[
                "3:13: unknown method `PSOT`; did you mean `POST`? (one that no registry has is declared: `methods: [PSOT]`)",
                "4:13: unknown method `PURGE` (one that no registry has is declared: `methods: [PURGE]`)",
                "5:13: `TRACE` is a method that the gateway answers with 405: no request has it here",
                "6:13: unknown method `M-SEARCH`; did you mean `SEARCH`? (one that no registry has is declared: `methods: [M-SEARCH]`)",
            ],
        ),
        (
            "
$U
methods: [PURGE, M-SEARCH]
routes:
  - {match: PURGE /a, public: true}
  - {match: M-SEARCH /a, public: true}",
            &["ok"],
        ),
        (
            "
$U
methods: [purge, '*', CONNECT]
$R",
            &[
                "2:11: `purge` is no HTTP method: 1 to 32 of `A-Z -`",
                "2:18: `*` is no HTTP method: 1 to 32 of `A-Z -`",
                "2:23: `CONNECT` is a method that the gateway answers with 405: no request has it here",
            ],
        ),
    ]);
}

#[test]
fn how_servers_read_a_path_is_said_in_known_words() {
    assert_told(&[(
        "
upstreams: {a: {servers: ['127.0.0.1:9000'], case: Sensitive}}
routes: [{match: GET /x, public: true, encoded: allow}]",
        &[
            "1:52: unknown case `Sensitive`; did you mean `sensitive`?",
            "2:49: unknown value of `encoded` `allow`; did you mean `allowed`?",
        ],
    )]);
}

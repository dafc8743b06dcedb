//! MOCK integrations.

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use sluice_compile::{HeaderMapping, Mock, MockAnswer, MockChoice, Passthrough, ValueSource};
use sluice_integrate::{FaultKind, Values, answer_mock};

use crate::harness::{on_a_core, text, whole};

#[derive(Debug)]
struct Texts;

impl Values for Texts {
    fn each(&self, source: &ValueSource, take: &mut dyn FnMut(&str)) {
        if let ValueSource::Static(text) = source {
            take(text);
        }
    }
}

fn mock(passthrough: Passthrough) -> Mock {
    let header = |name, value: &str| HeaderMapping {
        name: HeaderName::from_static(name),
        value: ValueSource::Static(value.into()),
    };
    let answer = MockAnswer {
        status: StatusCode::IM_A_TEAPOT,
        headers: [
            header("x-one", "1"),
            header("content-type", "text/plain"),
            header("x-bad", "a\nb"),
            header("content-length", "3"),
        ]
        .into(),
        content_type: HeaderValue::from_static("application/json"),
        body: Bytes::from_static(b"short and stout"),
    };
    let choices = [
        ("application/json", MockChoice::Answer(0)),
        ("text/csv", MockChoice::NoAnswer),
        ("text/plain", MockChoice::NoStatus),
    ];
    Mock { choices: choices.map(|(name, choice)| (name.into(), choice)).into(), passthrough, answers: [answer].into() }
}

#[test]
fn a_mock_answers_by_the_media_type() {
    let cases: [(Option<&str>, Passthrough, Result<u16, FaultKind>); 7] = [
        (None, Passthrough::Refuse, Ok(418)),
        (Some("application/json"), Passthrough::Refuse, Ok(418)),
        (Some("Application/JSON; charset=utf-8"), Passthrough::Refuse, Ok(418)),
        (Some("text/csv"), Passthrough::Refuse, Err(FaultKind::NoMockAnswer)),
        (Some("text/plain"), Passthrough::Refuse, Err(FaultKind::NoMockStatus)),
        (Some("image/png"), Passthrough::Refuse, Err(FaultKind::UnsupportedMediaType)),
        (Some("image/png"), Passthrough::Body, Err(FaultKind::NoMockStatus)),
    ];
    on_a_core(async {
        for (media_type, passthrough, expected) in cases {
            let mut headers = HeaderMap::new();
            if let Some(media_type) = media_type {
                headers.insert(http::header::CONTENT_TYPE, media_type.parse().unwrap());
            }
            let answer = answer_mock(&mock(passthrough), &headers, &Texts);
            assert_eq!(text(answer).await.map(|(status, _)| status), expected, "{media_type:?} {passthrough:?}");
        }
    });
}

#[test]
fn a_mocks_headers_replace_its_media_type_and_bad_values_are_left_out() {
    on_a_core(async {
        let answer = whole(answer_mock(&mock(Passthrough::Refuse), &HeaderMap::new(), &Texts)).await.unwrap();
        assert_eq!(
            (&answer.headers["x-one"], &answer.headers["content-type"], answer.headers.len()),
            (&HeaderValue::from_static("1"), &HeaderValue::from_static("text/plain"), 2)
        );
        assert_eq!(answer.body, "short and stout");
    });
}

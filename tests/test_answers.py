"""What endpoints answer, read: every shape of it is words of a model, or a fault with its cause."""

import json
from math import inf, isfinite, nan

import pytest
from hostile import completion
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm_gym.endpoints import refused_options
from vlm_gym.endpoints.answers import Answer, read_answer
from vlm_gym.masking import Mask, masked
from vlm_gym.rollouts.policy import RawReply
from vlm_gym.strict import LARGEST_AMOUNT, amounts

SECRET = "sk-verysecret0123"


def body(data):
    return json.dumps(data).encode()


def got(data, status=200):
    return read_answer(status, body(data))


# --- any shape

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats()
    | st.sampled_from([10**400, -(10**400), "", "left", "<answer>up</answer>", "NaN", "12", "\ud83d", "\x00"])
    | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["text", "type", "message", "error", "code", "content", "param", "loc", "metadata"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
PART = st.fixed_dictionaries(
    {}, optional={"type": st.sampled_from(["text", "thinking", "image_url", None]), "text": ANYTHING}
)
CONTENT = st.one_of(ANYTHING, st.text(max_size=20), st.lists(PART | st.text(max_size=5), max_size=4))
MESSAGE = st.fixed_dictionaries({}, optional={"content": CONTENT, "refusal": ANYTHING, "role": ANYTHING})
FINISH = st.sampled_from(["stop", "length", "error", "content_filter", None, 7, [], "MAX_TOKENS", "abort"])
CHOICE = st.fixed_dictionaries(
    {}, optional={"message": MESSAGE | ANYTHING, "finish_reason": FINISH, "error": ANYTHING}
)
USAGE = st.dictionaries(st.sampled_from(["prompt_tokens", "completion_tokens"]), ANYTHING)
BODY = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.lists(CHOICE, max_size=2) | ANYTHING,
        "usage": USAGE | ANYTHING,
        "error": ANYTHING,
    },
)


@given(data=BODY | ANYTHING, status=st.sampled_from([200, 200, 200, 201, 302, 400, 404, 422, 429, 500, 599]))
@settings(max_examples=1500, deadline=None)
def test_every_shape_is_a_reply_or_a_fault_with_words(data, status):
    answer = read_answer(status, body(data), Mask(SECRET, None))
    assert answer.text == "" or answer.fault == ""
    answer.text.encode()  # it can be written to a file
    answer.fault.encode()
    assert "\n" not in answer.fault
    assert answer.usage.keys() <= {"tokens", "tokens_in"}
    assert all(isfinite(value) and 0 <= value <= LARGEST_AMOUNT for value in answer.usage.values())
    if answer.fault:
        assert len(answer.fault) < 700
        assert answer.status >= 300
        assert answer.usage == {}
    else:
        choice = data["choices"][0]
        assert status < 300
        assert isinstance(choice["message"], dict)
        assert isinstance(choice["message"].get("content"), str | list | None)
        assert choice.get("finish_reason") not in ("error", "content_filter", "abort")
        assert answer.cut == (choice.get("finish_reason") in ("length", "MAX_TOKENS"))


@given(data=st.binary(max_size=200), status=st.sampled_from([200, 500]))
@settings(max_examples=300, deadline=None)
def test_bytes_that_are_no_json_are_a_fault(data, status):
    answer = read_answer(status, data)
    assert answer.fault
    assert not answer.text


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b'{"choices":' * 50_000,
        b"9" * 5000,
        b'{"error":' * 900 + b"1" + b"}" * 900,
        b"<" * 200_000,
    ],
    ids=["lists", "objects", "number", "errors", "page"],
)
def test_a_body_that_is_too_much_for_a_parser_is_a_fault(data):
    assert read_answer(200, data).fault
    assert read_answer(500, data).fault


# --- one by one


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("up", "up"),
        (
            [{"type": "text", "text": "<answer>"}, {"type": "text", "text": "up</answer>"}],
            "<answer>up</answer>",
        ),
        ([{"type": "reasoning", "text": "down?"}, {"type": "output_text", "text": "up"}], "up"),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "down"}]}], ""),
        (["u", "p"], "up"),
        ([{"text": "up"}, {"type": "text", "text": None}], "up"),
        ([], ""),
        (None, ""),
    ],
)
def test_the_text_of_a_message_is_the_reply_and_its_thinking_is_not(content, words):
    assert got(completion(content)) == Answer(words)


def test_a_model_that_declines_has_replied():
    assert got(completion(None, refusal="I will not play.")).text == "I will not play."


@pytest.mark.parametrize("content", [7, {"text": "up"}, [7], [["up"]], True])
def test_content_that_nobody_can_read_is_no_blank_reply(content):
    answer = got(completion(content))
    assert "cannot be read" in answer.fault
    assert answer.passing


@pytest.mark.parametrize(
    ("usage", "kept"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 2}, {"tokens_in": 9, "tokens": 2}),
        ({"prompt_tokens": None, "completion_tokens": 2}, {"tokens": 2}),
        ({"prompt_tokens": "9", "completion_tokens": [2]}, {}),
        ({"prompt_tokens": nan, "completion_tokens": inf}, {}),
        ({"prompt_tokens": 10**400, "completion_tokens": -1}, {}),
        ({"prompt_tokens": True, "completion_tokens": 1e300}, {}),
        (None, {}),
        ("many", {}),
        ([1, 2], {}),
    ],
)
def test_usage_is_finite_numbers_or_nothing(usage, kept):
    assert got(completion("up", usage=usage)).usage == kept


def test_a_reply_keeps_only_amounts_whoever_made_it():
    assert RawReply("up", {"tokens": None, "seconds": nan, "cut": 1.0}).usage == {"cut": 1.0}
    assert amounts(None) == amounts([("tokens", 1)]) == {}


@pytest.mark.parametrize("finish", ["length", "max_tokens", "MAX_TOKENS", "model_context_window_exceeded"])
def test_a_reply_at_the_limit_is_cut(finish):
    assert got(completion("<think> I", finish)) == Answer("<think> I", cut=True)


@pytest.mark.parametrize(
    "data",
    [
        {"error": {"message": "upstream", "code": 502}},
        {"error": "upstream"},
        {"error": {"message": "upstream"}, "choices": []},
        {"choices": [{"error": {"message": "upstream", "code": 429}, "message": {"content": ""}}]},
        completion("", "error"),
        completion("le", "abort"),
        completion("", "insufficient_system_resource"),
        {"choices": [{"finish_reason": "stop"}]},
        {"choices": [{"finish_reason": "stop", "message": None}]},
        {"choices": None},
        {"choices": [None]},
        {"id": "x"},
        [],
    ],
)
def test_a_fault_inside_of_success_may_pass_and_is_no_reply(data):
    answer = got(data)
    assert answer.fault
    assert answer.passing
    assert not answer.refused


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (completion("", "content_filter"), 200),
        (completion("le", "content_filter: PROHIBITED_CONTENT"), 200),
        (completion(None, "SAFETY"), 200),
        ({"choices": [{"finish_reason": "content_filter"}]}, 200),
        ({"error": {"message": "too long", "code": "context_length_exceeded"}}, 200),
        ({"error": {"message": "flagged", "code": 403}}, 200),
        ({"error": {"message": "flagged", "code": "400"}}, 200),
        ({"error": {"message": "filtered"}}, 400),
        ({"detail": "too large"}, 413),
        ({"detail": "no"}, 422),
    ],
)
def test_what_is_about_the_request_is_a_refusal_and_does_not_pass(data, status):
    answer = got(data, status)
    assert answer.refused
    assert not answer.passing


def test_an_error_of_nulls_beside_a_reply_is_none():
    data = completion("up") | {"error": {"message": None, "code": None}}
    assert got(data).text == "up"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"error": {"message": "the cause"}}, "HTTP 500: the cause"),
        ({"error": "the cause"}, "HTTP 500: the cause"),
        ({"detail": "the cause"}, "HTTP 500: the cause"),
        ({"message": "the cause"}, "HTTP 500: the cause"),
        ({"detail": [{"loc": ["body", "seed"], "msg": "the cause"}]}, "HTTP 500: body.seed: the cause"),
        ([{"error": {"message": "the cause"}}], "HTTP 500: the cause"),
        ({"errors": ["the cause", "another"]}, "HTTP 500: the cause; another"),
        (
            {"error": {"message": "Provider returned error", "metadata": {"raw": "the cause"}}},
            "HTTP 500: Provider returned error (the cause)",
        ),
        ({"why": "the cause"}, 'HTTP 500: {"why": "the cause"}'),
    ],
)
def test_a_fault_keeps_its_cause_in_whichever_form_it_comes(data, words):
    assert got(data, 500).fault == words


def test_pages_and_plain_texts_are_told_without_what_is_not_for_people():
    page = b"<html><style>b{}</style><body><h1>Bad  gateway</h1>&amp; more\x1b[31m</body></html>"
    assert read_answer(502, page).fault == "HTTP 502: Bad gateway & more [31m"
    assert read_answer(502, b"").fault == "HTTP 502"
    assert read_answer(502, b"no route").fault == "HTTP 502: no route"


# --- secrets


def test_a_key_in_an_answer_is_masked_wherever_it_stands():
    mask = Mask(SECRET, "http://me:pass%20word1@host/v1?token=abcdefghij")
    echo = f"key {SECRET}, at http://me:pass%20word1@host/v1, pass word1, abcdefghij"
    for status, data in (
        (200, completion(echo)),
        (200, {"error": echo}),
        (401, {"error": {"message": echo}}),
    ):
        answer = read_answer(status, body(data), mask)
        told = answer.text + answer.fault
        assert "key ***" in told
        assert not any(word in told for word in (SECRET, "pass%20word1", "pass word1", "abcdefghij"))


def test_a_key_is_masked_before_a_text_is_shortened():
    for at in range(480, 502):
        fault = read_answer(401, body({"error": "x" * at + SECRET}), Mask(SECRET, None)).fault
        assert SECRET[:4] not in fault


def test_short_keys_of_local_servers_are_words_and_stay():
    assert (
        read_answer(200, body(completion("none of them is EMPTY")), Mask("EMPTY", None)).text
        == "none of them is EMPTY"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("eval --base-url http://me:secret@host:8/v1 -o x", "eval --base-url http://***@host:8/v1 -o x"),
        ("'https://host/v1?api-key=abc&v=2' -o x", "'https://host/v1?api-key=***&v=***' -o x"),
        (
            "--set data.options.base_url=http://token@host/v1",
            "--set data.options.base_url=http://***@host/v1",
        ),
        ("http://host/v1 --with a@b", "http://host/v1 --with a@b"),
    ],
)
def test_credentials_of_an_address_are_masked_in_a_command(text, shown):
    assert masked(text) == shown
    assert masked(shown) == shown


# --- options that are refused

ASKED = {"temperature": 0.0, "max_tokens": 64, "seed": 3}


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens'.", "max_tokens"),
        ("Unsupported value: 'temperature' does not support 0. Only the default (1) is.", "temperature"),
        ("`temperature` is deprecated for this model.", "temperature"),
        ("`temperature` must be strictly positive", "temperature"),
        ("temperature: Input should be greater than 0", "temperature"),
        ("m does not support parameters: ['seed'], for model=m", "seed"),
        ("Unrecognized request argument supplied: seed", "seed"),
        ("Supported: temperature, max_tokens. Unknown: seed.", "seed"),
        ("Argument not allowed on this endpoint: seed; allowed are temperature and max_tokens", "seed"),
        ("max_tokens is too large: 64. This model supports at most 8 completion tokens.", None),
        ("This model's maximum context length is 9 tokens; reduce max_tokens", None),
        ("filtered by the content management policy", None),
        ("unknown field: top_k", None),
        ("", None),
    ],
)
def test_the_option_that_an_error_is_about_is_found_in_its_words(words, name):
    assert refused_options.refused(body({"error": {"message": words}}), ASKED) == name
    assert refused_options.refused(words.encode(), ASKED) == name


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({"error": {"message": "no", "param": "seed"}}, "seed"),
        ({"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs"}]}, "seed"),
        # What the error is about is named by a field; the rest is an echo of the request.
        ({"error": {"message": "unsupported: {'temperature': 0}", "param": "messages"}}, None),
        ({"detail": [{"loc": ["body", "messages"], "msg": "unknown", "input": {"seed": 3}}]}, None),
        ({"error": {"message": "seed is not supported", "param": None}}, "seed"),
    ],
)
def test_a_field_that_names_the_option_counts_before_words(data, name):
    assert refused_options.refused(body(data), ASKED) == name


def test_a_temperature_out_of_range_is_the_users_mistake_and_not_left_out():
    error = body({"error": {"message": "temperature must be between 0 and 2"}})
    assert refused_options.refused(error, {"temperature": 3.0}) is None
    assert refused_options.otherwise(ASKED, "max_tokens") == {
        "temperature": 0.0,
        "seed": 3,
        "max_completion_tokens": 64,
    }
    assert refused_options.otherwise(ASKED, "seed") == {"temperature": 0.0, "max_tokens": 64}

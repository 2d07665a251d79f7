# SPDX-License-Identifier: Apache-2.0
"""A tracker's own text: what it may say, what is refused, and that nobody can break out, leak, hang or exhaust."""

from __future__ import annotations

import pytest

from podtracker.api import Event
from podtracker.templates import compile_message
from podtracker.templates.vocabulary import FILTERS, VARIABLES, Subject, TemplateError
from unit.podtracker.occurrences import crash, escape, occurrence, subject

LIMIT = 3500


def render(source: str, about: Subject | None = None, *, limit: int = LIMIT) -> str:
    return compile_message(source).render(about or subject(), escape=escape, limit=limit)


def problem(source: str) -> TemplateError:
    with pytest.raises(TemplateError) as caught:
        compile_message(source)
    return caught.value


# what it may say


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{ pod.name }} in {{ pod.namespace }}", "web-1 in shop"),
        ("{{ pod['name'] }}{{ pod . name }}", "web-1web-1"),
        ("{{ pod.uid }} {{ pod.node }}", "web-1-uid worker-3"),
        ("{{ pod.labels['app'] }} {{ pod.labels.team }}", "shop-front blue"),
        ("{{ event.type }} {{ event.container }} {{ event.reason }}", "Restarted app Error"),
        ("{{ event.exitCode }} {{ event.restarts }} {{ event.readyAfterSeconds }}", "1 3 12"),
        ("{{ event.time }}", "2027-01-01T00:00:00Z"),
        ("{{ event.text }}!", "the default!"),
        ("{{ tracker.namespace }}/{{ tracker.name }}", "shop/web-crashes"),
        ("{{ workload.kind }}/{{ workload.name }} @ {{ cluster }}", "Deployment/web @ prod"),
        ("{{ pod.name | upper }} {{ 'ÄÖ' | lower }}", "WEB-1 äö"),
        ("{{ 'one two' | title }} {{ 'oNE' | capitalize }} {{ ' a ' | trim }}", "One Two One a"),
        ("{{ 'abcdefgh' | truncate(5) }} {{ 'ab cd ef' | truncate(6, true) }}", "ab... ab ..."),
        ("{{ pod.labels.none | default('nobody') }} {{ pod.labels.none }}.", "nobody ."),
        ("{{ '' | default('empty', true) }} {{ 0 | default(7, true) }} {{ 0 | default(7) }}", "empty 7 0"),
        ("{{ 'a' ~ 1 ~ none ~ true ~ pod.name }}", "a1Trueweb-1"),
        ("{{ 'yes' if event.restarts > 2 else 'no' }}{{ 'x' if false }}", "yes"),
        ("{{ event.container or 'none' }} {{ event.exitCode and 'failed' }}", "app failed"),
        ("{{ 1 < event.restarts <= 3 }} {{ 1 < 1 < 1 }} {{ not 1 >= 2 }} {{ 1 != 2 }}", "True False True True"),
        ("{{ 'web' in pod.name }} {{ event.type not in ('Failed', 'Ready') }} {{ 3 in [1, 2] }}", "True True False"),
        ("{{ event.exitCode == none }} {{ pod.labels.none == none }}", "False True"),
        ("{% if event.type == 'Ready' %}a{% elif event.restarts %}b{% else %}c{% endif %}", "b"),
        ("{% if false %}a{% elif false %}b{% else %}c{% endif %}", "c"),
        ("{% if true and (false or not false) %}a{% if true %}b{% endif %}{% endif %}", "ab"),
        ("{# a remark #}{% raw %}{{ as it is }}{% endraw %}", "{{ as it is }}"),
        ("{{ '{{' }} {{ 'a\\n\"b\"\\t\\\\' }}", '{{ a\n"b"\t\\'),
        ("plain\nlines  \n", "plain\nlines"),
        ("a\n{% if true %}\nb\n  {% endif %}\nc\n", "a\nb\nc"),
    ],
)
def test_what_a_text_may_say(source: str, text: str) -> None:
    assert render(source) == text


def test_every_variable_has_a_value_and_every_filter_works() -> None:
    for name, variable in VARIABLES.items():
        assert render(f"{{{{ {name} }}}}") == str(variable.read(subject()))
    for name in FILTERS:
        arguments = {"truncate": "(80)", "default": "('x')"}.get(name, "")
        assert render(f"{{{{ pod.name | {name}{arguments} }}}}").lower() == "web-1"


def test_what_is_not_known_is_nothing() -> None:
    bare = Subject(notification=occurrence(at=0), tracker=subject().tracker, text="the default")
    unknown = [name for name, variable in VARIABLES.items() if variable.read(bare) is None]
    assert unknown == [
        "pod.node",
        "event.container",
        "event.reason",
        "event.exitCode",
        "event.readyAfterSeconds",
        "event.time",
        "workload.kind",
        "workload.name",
        "cluster",
    ]
    for name in unknown:
        assert render(f"[{{{{ {name} }}}}]{{{{ {name} | upper }}}}{{{{ {name} ~ 'a' }}}}", bare) == "[]a"
        assert render(f"{{{{ {name} | default('?') }}}}{{{{ 1 if {name} else 0 }}}}", bare) == "?0"
    for comparison in ("< 1", "> 1", "<= 1", ">= 1", "in [1]", "== 1"):
        assert render(f"{{{{ event.exitCode {comparison} }}}}", bare) == "False"
    assert render("{{ 'a' in event.reason }} {{ event.exitCode not in [1] }}", bare) == "False True"
    assert render("{{ (event.exitCode or 'a') < 5 }}", bare) == "False"


@pytest.mark.parametrize("source", ["", " \n ", "{{ pod.labels.none }}", "{% if false %}x{% endif %}", "{# a #}"])
def test_nothing_to_say_is_the_default_text(source: str) -> None:
    assert render(source, subject(text="Pod <web>")) == "Pod &lt;web&gt;"


def test_labels_that_are_read_are_known() -> None:
    source = "{{ pod.labels['app.kubernetes.io/name'] ~ pod.labels.team }}{% if false %}{{ pod.labels.a }}{% endif %}"
    assert compile_message(source).label_keys == {"app.kubernetes.io/name", "team", "a"}
    assert compile_message("{{ pod.name }}").label_keys == frozenset()


def test_a_text_is_compiled_once() -> None:
    assert compile_message("{{ pod.name }} once") is compile_message("{{ pod.name }} once")
    assert problem("{{ once") is not problem("{{ once")


# what is wrong, and what would be right


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ pod.nam }}", "pod has no 'nam'; did you mean pod.name?"),
        ("{{ event.exitcode }}", "did you mean event.exitCode?"),
        ("{{ event.qqqqqq }}", "event has no 'qqqqqq': there are event.type, "),
        ("{{ namespace }}", "there is no variable 'namespace'; did you mean pod.namespace?"),
        ("{{ podname }}", "did you mean pod.name?"),
        ("{{ zzz }}", "there is no variable 'zzz': there are pod, event, tracker, workload, cluster"),
        ("{{ pod }}", "pod is not a text itself: write pod.name, pod.namespace"),
        ("{{ cluster.name }}", "cluster has no parts: write cluster"),
        ("{{ pod.labels }}", "write one label's key in quotes: pod.labels['app']"),
        ("{{ pod.labels.app.example }}", "write one label's key in quotes: pod.labels['app.example']"),
        ("{{ pod.labels['a b'] }}", "write one label's key in quotes"),
        ("{{ pod.labels.app.example/name }}", "a label's key stands in quotes"),
        ("{{ pod.name | uper }}", "there is no filter 'uper'; did you mean upper?"),
        ("{{ pod.name | zzz }}", "there is no filter 'zzz': there are upper, lower"),
        ("{{ pod.name | upper(1) }}", "upper takes nothing in brackets"),
        ("{{ pod.name | truncate }}", "write truncate(80)"),
        ("{{ pod.name | default }}", "write default('none')"),
        ("{{ pod.name.upper() }}", "nothing can be called: write a filter"),
        ("{{ event.exitCode is defined }}", "write == or !="),
        ("{{ event.restarts > '3' }}", "a number is compared with a text: write numbers without quotes"),
        ("{{ pod.name == 3 }}", "a text is compared with a number"),
        ("{{ true > false }}", "only numbers and texts can be more or less"),
        ("{{ 'a' in 3 }}", "right of `in` stands a text or a list"),
        ("{{ 'a' in [pod.name] }}", "a list holds constants only"),
        ("{% if event.type == 'Crashed' %}{% endif %}", "there is no event 'Crashed'; did you mean Created?"),
        ("{% if 'crash' == event['type'] %}{% endif %}", "there is no event 'crash'"),
        ("{% if event.type in ['Ready', 'oomkilled'] %}{% endif %}", "did you mean OOMKilled?"),
        ("{% for x in y %}{% endfor %}", "{% for %} is not available in a message; of statements there is only if"),
        ("{% if pod.name %}", "The innermost block that needs to be closed is 'if'"),
        ("{{ pod.name", "unexpected end of template"),
        ("{{ 'a", "unexpected char"),
        ("{{ 1.5 }}", "write whole numbers"),
        ("{{ 1 + 1 }}", "there is no arithmetic"),
        ("{{ [1] }}", "a list of constants stands right of `in` only"),
    ],
)
def test_an_error_says_what_would_be_right(source: str, said: str) -> None:
    found = problem(f"first line\n{source}")
    assert said in found.message
    assert found.line == 2
    assert str(found) == f"line 2: {found.message}"


def test_an_error_repeats_little_of_a_text() -> None:
    for source in (
        "{{ %s }}",
        "{{ pod.%s }}",
        "{{ pod.name | %s }}",
        "{%% %s %%}",
        "{{ pod.labels['%s'] }}",
        "{{ 'a' %s",
    ):
        assert len(str(problem(source % ("x" * 1900)))) < 400


# whose words they are


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<b>{{ pod.name }}</b>", "<b>&lt;!channel&gt;</b>"),
        ("{{ '<!here>' }}", "<!here>"),
        ("{{ '<!here>' if event.exitCode else pod.name }}", "<!here>"),
        ("{{ pod.name if event.exitCode else '<!here>' }}", "&lt;!channel&gt;"),
        ("{{ pod.labels.none | default('<!here>') }}", "<!here>"),
        ("{{ pod.name | default('<!here>') }}", "&lt;!channel&gt;"),
        (
            "{{ pod.labels.none or '<!here>' }}{{ pod.name and '<a>' }}{{ '<a>' and pod.name }}",
            "<!here><a>&lt;!channel&gt;",
        ),
        ("{{ '<' ~ pod.name ~ '>' }}", "<&lt;!channel&gt;>"),
        ("{{ '<' ~ ('&' ~ (pod.name ~ '>')) }}", "<&&lt;!channel&gt;>"),
        ("{{ ('<' ~ pod.name) | upper }}", "&lt;&lt;!CHANNEL&gt;"),
        ("{{ '<a>' | upper }}{{ pod.name | title }}", "<A>&lt;!channel&gt;"),
        ("{{ pod.name | truncate(6, true) }}", "&lt;!c..."),
        ("{{ pod.name == '<!channel>' }}", "True"),
        ("{{ '<!here>' ~ none ~ 1 }}", "<!here>1"),
    ],
)
def test_values_are_escaped_and_the_authors_words_are_not(source: str, text: str) -> None:
    assert render(source, subject(crash(pod="<!channel>"))) == text


def test_a_cut_never_leaves_half_an_escape_sequence() -> None:
    about = subject(crash(pod="&" * 50))
    for limit in range(2, 260):
        for source in ("{{ pod.name }}", "ab{{ pod.name }}", "{{ 'a' ~ pod.name ~ pod.name }}"):
            text = render(source, about, limit=limit)
            assert len(text) <= limit
            assert text.replace("&amp;", "").strip("ab…") == ""
            assert text.endswith("…") or limit > 240


def test_every_event_can_be_asked_for() -> None:
    for event in Event:
        assert (
            render(f"{{% if event.type == '{event}' %}}yes{{% else %}}no{{% endif %}}", subject(occurrence(event)))
            == "yes"
        )

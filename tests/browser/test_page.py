"""The pages in a real browser: what somebody sees, hears and types, from a click to the result."""

import json
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.visits import SECONDS, Open

# -- the pipelines, from a click to the result ----------------------------------------------------------------


def test_a_document_is_read_from_a_sample_to_phrases_and_confidence(visit: Open) -> None:
    seen = visit()
    seen.form("document").get_by_role("button", name="Use a sample").click()
    seen.at_task()
    expect(seen.page.get_by_role("heading", level=1)).to_have_text("Port Ellery report.pdf")
    seen.has_ended("Done")
    expect(seen.stages).to_have_count(5)
    expect(seen.stages.first).to_contain_text("299 of 299 pages")
    expect(seen.stages.nth(1)).to_contain_text("Skipped")
    expect(seen.result).to_contain_text(re.compile(r"\d+% sure"))
    expect(seen.result.get_by_text("Doctor Anna Lindqvist", exact=False).first).to_be_visible()
    expect(seen.result.get_by_role("link", name="1,195 chunks")).to_have_attribute(
        "href", re.compile(r"^/files/[0-9a-f]{32}/chunks\.json$")
    )
    expect(seen.page).to_have_title("✓ Port Ellery report.pdf · Headway")


def test_a_file_is_chosen_and_its_markup_stays_text(visit: Open) -> None:
    seen = visit()
    text = b"<img src=x onerror=alert(1)> is what Grace Hopper wrote on 9 December 1906. " * 20
    name = "<b>notes.txt"
    seen.form("document").locator("input[type=file]").set_input_files(
        {"name": name, "mimeType": "text/plain", "buffer": text}
    )
    expect(seen.form("document").locator(".chosen")).to_contain_text(name)
    seen.form("document").get_by_role("button", name="Read it").click()
    seen.at_task()
    seen.has_ended("Done")
    expect(seen.page.get_by_role("heading", level=1)).to_have_text(name)
    expect(seen.result).to_contain_text("Grace Hopper")
    expect(seen.page.locator("main img, main b")).to_have_count(0)


def test_a_file_is_dropped(visit: Open) -> None:
    seen = visit()
    data = seen.page.evaluate_handle(
        """() => {
          const data = new DataTransfer();
          data.items.add(new File(["Ada Lovelace wrote notes. ".repeat(40)], "dropped.txt"));
          return data;
        }"""
    )
    seen.form("document").locator(".drop").dispatch_event("drop", {"dataTransfer": data})
    seen.at_task()
    expect(seen.page.get_by_role("heading", level=1)).to_have_text("dropped.txt")
    seen.has_ended("Done")


def test_a_video_is_made_and_can_be_played(visit: Open) -> None:
    seen = visit()
    seen.form("video").get_by_role("button", name="Use a sample").click()
    seen.at_task()
    expect(seen.stages).to_have_count(5, timeout=SECONDS)
    seen.has_ended("Done")
    video = seen.page.locator("video")
    expect(video).to_be_visible()
    expect(seen.page.locator("video")).not_to_have_js_property("readyState", 0)
    assert 7 < video.evaluate("node => node.duration") < 9
    expect(seen.result.locator(".thumbnails img")).to_have_count(6)
    seen.result.get_by_role("button", name="Go to 0:04").click()
    assert 3.9 < video.evaluate("node => node.currentTime") < 4.1


def test_a_graph_is_run_and_answers_word_by_word(visit: Open) -> None:
    seen = visit()
    seen.form("graph").get_by_role("button").click()
    seen.at_task()
    seen.has_ended("Done")
    expect(seen.stages).to_have_count(9)
    answer = seen.page.locator("#answers .answer p")
    expect(answer).to_contain_text("A tidal turbine works like a windmill under water.")
    expect(seen.result.locator("summary")).to_have_count(10)  # each node, and the JSON
    told = answer.text_content()
    seen.page.reload()  # it is told again by the log
    expect(answer).to_have_text(told or "")


def test_a_graph_has_a_page_from_which_it_is_run_again(visit: Open) -> None:
    seen = visit()
    seen.page.get_by_label("Compare words and figures").check()
    seen.form("graph").get_by_role("button").click()
    seen.at_task()
    seen.has_ended("Done")
    seen.page.get_by_role("link", name="The graph, to run it again").click()
    expect(seen.page.get_by_role("heading", level=1)).to_have_text("Agent graph")
    expect(seen.page.locator("#drawing [part~=node]")).to_have_count(6)
    expect(seen.page.locator("#mine li")).to_have_count(1)
    seen.page.get_by_label("Prompt").fill("Who was Margaret Hale?")
    seen.page.get_by_role("button", name="Run it").click()
    seen.at_task()
    expect(seen.page.get_by_role("heading", level=1)).to_have_text("Who was Margaret Hale?")
    seen.has_ended("Done")
    seen.page.go_back()
    expect(seen.page.locator("#mine li")).to_have_count(2)


# -- what goes wrong ------------------------------------------------------------------------------------------


def test_a_file_of_the_wrong_type_is_refused_beside_its_field(visit: Open) -> None:
    seen = visit(forgiving="415")
    form = seen.form("document")
    field = form.locator("input[type=file]")
    refusal = "Must be a PDF, PNG, JPEG or UTF-8 text by its content, whatever its name."
    field.set_input_files({"name": "a.pdf", "mimeType": "application/pdf", "buffer": b"PK\3\4\0\0"})
    form.get_by_role("button", name="Read it").click()
    expect(form.locator(".mistake")).to_have_text(refusal)
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(refusal)
    expect(field).to_be_focused()
    expect(form.locator(".upload")).to_be_hidden()


def test_no_file_and_one_too_large_are_refused_before_anything_is_sent(visit: Open) -> None:
    seen = visit()
    form = seen.form("document")
    form.get_by_role("button", name="Read it").click()
    expect(form.locator(".mistake")).to_have_text("Choose a file first.")
    form.evaluate("form => form.dataset.most = 10")
    form.locator("input[type=file]").set_input_files(
        {"name": "a.txt", "mimeType": "text/plain", "buffer": b"more than that"}
    )
    form.get_by_role("button", name="Read it").click()
    expect(form.locator(".mistake")).to_contain_text("at most 10 B")
    assert not [each for each in seen.asked() if each[0] == "POST"]


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        (
            {
                "nodes": [{"id": "a", "kind": "write"}, {"id": "b", "kind": "write"}],
                "edges": [{"source": "a", "target": "b"}, {"source": "b", "target": "a"}],
            },
            r"edges must not lead back to where they began: .*→",
        ),
        (
            {"nodes": [{"id": "a", "kind": "dream"}], "edges": []},
            r"nodes\[0\]\.kind must be one of",
        ),
    ],
)
def test_a_graph_that_cannot_run_is_refused_naming_the_culprit(
    visit: Open, graph: dict[str, Any], said: str
) -> None:
    seen = visit(forgiving="422")
    seen.page.get_by_label("One of your own").check()
    seen.page.get_by_label("Nodes and edges, as JSON").fill(json.dumps(graph))
    seen.form("graph").get_by_role("button").click()
    expect(seen.form("graph").locator('[data-field="nodes"]')).to_have_text(re.compile(said))


def test_a_graph_that_is_no_json_and_a_missing_prompt_are_refused_here(visit: Open) -> None:
    seen = visit()
    seen.page.get_by_label("Prompt").fill(" ")
    seen.form("graph").get_by_role("button").click()
    mistake = seen.form("graph").locator('[data-field="prompt"]')
    expect(mistake).to_have_text("Say what you want to know.")
    seen.page.get_by_label("Prompt").fill("Why?")
    seen.page.get_by_label("One of your own").check()
    seen.page.get_by_label("Nodes and edges, as JSON").fill("{")
    seen.form("graph").get_by_role("button").click()
    expect(seen.form("graph").locator('[data-field="nodes"]')).to_contain_text("This is no JSON")
    expect(mistake).to_be_empty()


def test_what_the_site_refuses_is_said_beside_the_field(visit: Open) -> None:
    seen = visit(forgiving="422")
    seen.start_paced(Stages=2, Fail_in_stage=5)
    expect(seen.form("paced").locator('[data-field="fail_at"]')).to_contain_text("from 1 to 2")
    expect(seen.page.get_by_label("Fail in stage")).to_be_focused()
    seen.start_paced(Fail_in_stage="", Steps_in_each=1, Seconds_in_all=0)
    expect(seen.page.locator("#mine li")).to_have_count(1)
    expect(seen.form("paced").locator('[data-field="fail_at"]')).to_be_empty()


def test_a_task_that_fails_says_in_which_stage_and_why(visit: Open) -> None:
    seen = visit()
    seen.start_and_open(Stages=3, Steps_in_each=4, Seconds_in_all=0.6, Fail_in_stage=2)
    seen.has_ended("Failed")
    expect(seen.page.locator("headway-progress [part~=note]")).to_contain_text(
        "Stage 2: Stage 2 was told to fail"
    )
    expect(seen.page).to_have_title(re.compile("^✕ "))
    expect(seen.page.get_by_text("Traceback")).to_have_count(0)


def test_a_task_is_cancelled(visit: Open) -> None:
    seen = visit()
    seen.start_and_open(Stages=2, Steps_in_each=50, Seconds_in_all=60)
    expect(seen.stages.first).to_contain_text("of 50")
    seen.page.get_by_role("button", name="Cancel").click()
    seen.has_ended("Cancelled")
    expect(seen.page.get_by_role("button", name="Cancel")).to_have_count(0)


def test_a_task_that_is_not_there_has_a_page_that_says_so(visit: Open) -> None:
    seen = visit("/tasks/nobody", forgiving="404")
    expect(seen.page.get_by_role("heading", level=1)).to_have_text("There is no such task")
    seen.page.get_by_role("link", name="Start a task, or see yours").click()
    expect(seen.form("document")).to_be_visible()


# -- coming back ----------------------------------------------------------------------------------------------


def test_a_reload_in_the_middle_goes_on_showing_the_task(visit: Open) -> None:
    seen = visit()
    seen.start_and_open(Stages=2, Steps_in_each=40, Seconds_in_all=6)
    expect(seen.stages.first).to_contain_text(re.compile(r"(1\d|2\d) of 40"))
    bar = seen.page.locator("headway-progress [role=progressbar]").first
    before = int(bar.get_attribute("aria-valuenow") or 0)
    seen.page.reload()
    assert int(bar.get_attribute("aria-valuenow") or 0) >= before > 0
    expect(seen.page.get_by_role("heading", level=1)).to_contain_text("2 stages in 6 s")
    seen.has_ended("Done")


def test_a_reload_after_the_end_shows_the_end_and_connects_to_nothing(visit: Open) -> None:
    seen = visit()
    seen.start_and_open(Stages=1, Steps_in_each=2, Seconds_in_all=0.1)
    seen.has_ended("Done")
    seen.requests.clear()
    seen.page.reload()
    seen.has_ended("Done")
    seen.page.wait_for_load_state("networkidle")
    assert not [path for _, path in seen.asked() if "/events" in path]


def test_my_tasks_are_live_on_one_connection_and_survive_a_reload(visit: Open) -> None:
    seen = visit()
    expect(seen.page.get_by_text("Nothing yet")).to_be_visible()
    for number in (2, 3, 4):
        seen.start_paced(Stages=number, Steps_in_each=20, Seconds_in_all=4)
        expect(seen.page.locator("#mine li")).to_have_count(number - 1)
    expect(seen.page.get_by_text("Nothing yet")).to_be_hidden()
    rows = seen.page.locator("#mine li")
    expect(rows.first).to_contain_text("4 stages")
    expect(rows.last).to_contain_text(re.compile(r"\d\d%"))
    seen.requests.clear()
    seen.page.reload()
    expect(rows).to_have_count(3)
    expect(rows.first).to_contain_text("4 stages")
    for row in rows.all():
        expect(row).to_contain_text("Done")
    streams = [path for _, path in seen.asked() if path.endswith("/events")]
    assert len(streams) == 1
    expect(seen.page.locator("#news")).to_have_text(re.compile("Done"))


def test_the_list_is_there_without_scripts(visit: Open) -> None:
    seen = visit()
    seen.start_paced(Stages=2, Steps_in_each=1, Seconds_in_all=0)
    expect(seen.page.locator("#mine li").first).to_contain_text("Done")
    plain = visit(java_script_enabled=False, storage_state=seen.page.context.storage_state())
    expect(plain.page.locator("#mine li")).to_have_count(1)
    expect(plain.page.locator("#mine li")).to_contain_text("Done")
    assert "need JavaScript" in plain.page.content()  # Playwright finds nothing in a <noscript>
    plain.page.locator("#mine a").click()
    expect(plain.page.get_by_text("Stage 2: Done, 1 of 1")).to_be_visible()


def test_back_and_forward_show_what_is_true_now(visit: Open) -> None:
    seen = visit()
    seen.start_and_open(Stages=2, Steps_in_each=10, Seconds_in_all=2)
    seen.page.go_back()
    row = seen.page.locator("#mine li")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("Done")
    seen.page.go_forward()
    seen.has_ended("Done")
    expect(seen.stages).to_have_count(2)


def test_two_pages_show_the_same_task(visit: Open) -> None:
    one = visit()
    one.start_and_open(Stages=2, Steps_in_each=10, Seconds_in_all=2)
    other = visit(urlsplit(one.page.url).path)
    for seen in (one, other):
        seen.has_ended("Done")
        expect(seen.stages).to_have_count(2)
    assert one.stages.all_inner_texts() == other.stages.all_inner_texts()


# -- for everybody --------------------------------------------------------------------------------------------


def test_a_keyboard_is_enough(visit: Open) -> None:
    seen = visit()
    keyboard = seen.page.keyboard
    seen.page.get_by_label("Stages").focus()
    for value in ("2", "3", "0.4"):
        keyboard.press("Control+A")
        keyboard.type(value)
        keyboard.press("Tab")
    keyboard.press("Tab")
    button = seen.form("paced").get_by_role("button")
    expect(button).to_be_focused()
    keyboard.press("Enter")
    link = seen.page.locator("#mine a")
    expect(link).to_have_count(1)
    expect(button).to_be_focused()  # whoever started it stays where they were
    link.focus()
    keyboard.press("Enter")
    seen.at_task()
    seen.has_ended("Done")
    expect(seen.stages.first).to_contain_text("3 of 3")
    for _ in range(12):
        keyboard.press("Tab")
        if seen.page.evaluate("document.activeElement.parentElement.id") == "log":
            break
    keyboard.press("Enter")
    expect(seen.page.locator("#log li").last).to_contain_text("queued")


def test_everything_on_the_start_page_can_be_reached_by_tab(visit: Open) -> None:
    seen = visit()
    reached = set()
    for _ in range(16):
        seen.page.keyboard.press("Tab")
        reached.add(
            seen.page.evaluate(
                "[document.activeElement.form?.dataset.kind, document.activeElement.name].join()"
            )
        )
    assert {
        "document,file",
        "document,sample",
        "video,file",
        "graph,graph",
        "graph,prompt",
    } <= reached
    assert "paced,fail_at" in reached


def test_nothing_is_polled_and_nothing_asked_for_after_the_end(visit: Open) -> None:
    seen = visit()
    seen.page.wait_for_load_state("networkidle")
    seen.requests.clear()
    seen.start_paced(Stages=2, Steps_in_each=20, Seconds_in_all=2)
    row = seen.page.locator("#mine li")
    expect(row).to_contain_text("Done")
    seen.page.wait_for_timeout(1000)
    task = row.get_attribute("data-task")
    assert seen.asked() == [("POST", "/tasks/paced"), ("GET", f"/headway/tasks/{task}/events")]


def test_transitions_are_announced_and_ticks_are_not(visit: Open) -> None:
    seen = visit()
    seen.start_and_open(Stages=2, Steps_in_each=40, Seconds_in_all=8)
    seen.page.locator("html[data-listening]").wait_for(state="attached")
    seen.has_ended("Done")
    seen.page.wait_for_timeout(1600)
    announced = seen.page.evaluate("announced")
    assert any("Step 2 of 2: Stage 2" in each for each in announced), announced
    assert "Done" in announced[-1]
    assert len(announced) <= 8
    assert not [each for each in announced if " of 40" in each]


def test_the_event_log_has_what_was_said(visit: Open) -> None:
    seen = visit()
    seen.start_and_open(Stages=3, Steps_in_each=4, Seconds_in_all=0.5)
    seen.has_ended("Done")
    seen.page.reload()
    seen.page.get_by_text("Event log").click()
    lines = seen.page.locator("#log li")
    expect(lines.first).to_contain_text("finished")
    expect(lines.last).to_contain_text("queued")
    numbers = [int(line.split()[0]) for line in lines.all_inner_texts()]
    assert numbers == list(range(len(numbers), 0, -1))


def test_the_event_log_and_the_words_of_a_long_answer_are_bounded(visit: Open) -> None:
    seen = visit()
    writers = [f"writer-{number}" for number in range(5)]
    nodes = [{"id": "report", "kind": "fetch", "params": {"path": "/static/sample.txt"}}]
    nodes += [{"id": each, "kind": "write", "params": {"sentences": 12}} for each in writers]
    graph = {"nodes": nodes, "edges": [{"source": "report", "target": each} for each in writers]}
    seen.page.get_by_label("One of your own").check()
    seen.page.get_by_label("Nodes and edges, as JSON").fill(json.dumps(graph))
    seen.form("graph").get_by_role("button").click()
    seen.at_task()
    seen.has_ended("Done")
    seen.page.get_by_text("Event log").click()
    expect(seen.page.locator("#log > p")).to_have_text(re.compile(r"The newest 500 of \d+ events"))
    expect(seen.page.locator("#log li")).to_have_count(500)
    expect(seen.page.locator("#answers .answer")).to_have_count(5)


def test_an_upload_shows_how_far_it_really_is(visit: Open) -> None:
    seen = visit()
    slow = {
        "offline": False,
        "latency": 0,
        "downloadThroughput": -1,
        "uploadThroughput": 4 * 1024**2,
    }
    seen.page.context.new_cdp_session(seen.page).send("Network.emulateNetworkConditions", slow)
    form = seen.form("document")
    form.locator("input[type=file]").set_input_files(
        {"name": "a.txt", "mimeType": "text/plain", "buffer": b"A line of text. " * 2**19}
    )
    form.get_by_role("button", name="Read it").click()
    expect(form.locator(".upload")).to_contain_text(
        re.compile(r"Uploading: [1-7]\.\d MB of 8\.0 MB")
    )
    share = form.locator(".upload progress").evaluate("bar => bar.value")
    assert 0 < share <= 1
    seen.at_task()


def test_pages_fit_a_narrow_screen(visit: Open) -> None:
    seen = visit(viewport={"width": 320, "height": 640})
    width = "document.documentElement.scrollWidth"
    assert seen.page.evaluate(width) <= 320
    seen.form("graph").get_by_role("button").click()
    seen.at_task()
    seen.has_ended("Done")
    seen.page.get_by_text("Event log").click()
    expect(seen.page.locator("#log li").first).to_be_visible()
    assert seen.page.evaluate(width) <= 320
    seen.page.get_by_role("link", name="The graph, to run it again").click()
    expect(seen.page.locator("#drawing [part~=node]").first).to_be_visible()
    assert seen.page.evaluate(width) <= 320
    seen.go()
    expect(seen.page.locator("#mine li")).to_have_count(1)
    assert seen.page.evaluate(width) <= 320

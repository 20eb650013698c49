"""modelab.lab.panel and modelab.lab.recording without a browser: controls, missions, errors, recordings."""

import base64
import json
import re
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from test_lab import GAME, same, small

from modelab.course.exercises import mission
from modelab.lab import recording as recordings
from modelab.lab.panel import Lab
from modelab.lab.recording import plot_strip, read_static
from modelab.lab.view import pack_frame, render_frame, render_scene, unpack_frame


@pytest.fixture
def panel():
    pytest.importorskip("anywidget")
    return small(versus=GAME).step(5).widget


def sent(panel):
    """What the page was last sent: arrays by side, and the note."""
    panel.driver.wait()
    assert not panel.driver.error
    parts, note = unpack_frame(panel.canvas.frame)
    return {k: unpack_frame(v.tobytes()) for k, v in parts.items()}, note


def test_every_control_does_its_work(panel):
    lab, c = panel.lab, panel.controls
    for name, moved in (("step", 1), ("steps", 10), ("G", 1), ("D", 1)):
        at = lab.at
        c[name].click()
        assert sent(panel)[1]["at"] == at + moved == lab.at, name
    c["share"].click()
    text = c["text"].value
    c["load"].click()
    sent(panel)
    assert lab.to_string() == text
    for name in ("speed", "preset", "modes", "versus", "game"):
        for label in c[name].options:
            value = label[1] if isinstance(label, tuple) else label
            if str(value).endswith("mnist"):
                continue  # needs files
            c[name].value = value
            panel.driver.wait()
            assert not panel.driver.error or "ValueError" in panel.driver.error, (name, value, panel.driver.error)
            lab.driver.error = ""
    c["game"].value, c["modes"].value, c["versus"].value, c["seed"].value = "minimax", "ring", "none", 7
    sent(panel)
    assert lab.seed == 7 and len(lab.sides) == 1 and c["modes"].value == "ring"
    c["step"].click()
    c["reset"].click()
    assert sent(panel)[1]["at"] == 0


def test_a_click_counts_while_another_thread_writes_into_the_controls(panel):
    clicks = []

    def click_elsewhere(change):
        clicks.append(thread := threading.Thread(target=panel.controls["step"].click))
        thread.start(), thread.join()
    panel.controls["seed"].observe(click_elsewhere, "value")
    panel.lab.seed += 1  # so that the next picture writes into the control
    at = panel.lab.at
    panel._refresh()
    assert len(clicks) == 1 and sent(panel)[1]["at"] == at + 1
    assert panel.lab.seed == panel.controls["seed"].value  # and writing was no command


def test_every_setting_can_be_turned(panel):
    panel.lab.reset(versus=None)
    panel.draw(True)
    for name, field in list(panel.fields.items()):
        value = field.value
        field = panel.fields[name]
        field.value = (not value if isinstance(value, bool) else value * 2 if isinstance(value, (int, float)) and value
                       else "D D G" if name == "turns" else "12" if name.endswith(("width", "latent")) else value)
        sent(panel)
    assert panel.lab.sides["A"].words == ["D", "D", "G"] or panel.lab.at == 0
    assert panel.lab.sides["A"].batch == 32 and panel.lab.sides["A"].latent == 12


def test_settings_of_one_side(panel):
    panel.fields["batch"].value = 8
    sent(panel)
    panel.controls["side"].value = "B"
    panel.fields["lr.D"].value, panel.fields["saturating"].value = .03, True
    sent(panel)
    a, b = panel.lab.sides.values()
    assert a.batch == b.batch == 8 and b.game.saturating and not a.game.saturating
    assert (a.players.rates("D")["lr"], b.players.rates("D")["lr"]) == (1e-3, .03)
    panel.controls["side"].value = "A"
    assert panel.fields["lr.D"].value == 1e-3 and not panel.fields["saturating"].value
    panel.controls["versus"].value = "none"
    sent(panel)
    assert panel.controls["side"].value == "both" and panel.controls["side"].layout.display == "none"


def test_a_setting_gets_the_control_that_suits_it(panel):
    kinds = {name: type(field).__name__ for name, field in panel.fields.items()}
    assert kinds["kind"] == "Dropdown" and kinds["saturating"] == "Checkbox" and kinds["batch"] == "BoundedIntText"
    assert kinds["lr.D"] == "FloatText" and kinds["betas"] == kinds["latent"] == "Text"
    assert "schedule" not in kinds and "lr" not in kinds and panel.fields["kind"].options[:2] == ("mlp", "conv")
    panel.fields["betas"].value = "0.5, 0.9"
    sent(panel)
    assert {side.players.rates("G")["betas"] for side in panel.lab.sides.values()} == {(.5, .9)} and panel.lab.at == 5
    panel.fields["lr.D"].value = .02
    assert sent(panel)[1]["at"] == 5
    assert [panel.lab.sides["A"].players.rates(p)["lr"] for p in "DG"] == [.02, 1e-3]
    panel.fields["width"].value = 12
    assert sent(panel)[1]["at"] == 0 and panel.lab.sides["B"].game.networks.width == 12
    panel.fields["kind"].value = "conv"  # convolutions of points: refused, and the lab stays
    panel.driver.wait()
    assert "ValueError" in panel.driver.error and panel.lab.sides["A"].game.networks.kind == "mlp"
    assert panel.fields["kind"].value == "mlp"


def test_settings_that_only_one_side_has(panel):
    panel.controls["versus"].value = "bigan"
    sent(panel)
    assert {"saturating", "kind"} <= panel.fields.keys() and len(panel.lab.sides) == 2
    panel.controls["side"].value = "B"
    panel.fields["d_width"].value = "6"
    sent(panel)
    a, b = panel.lab.sides.values()
    assert b.game.networks.d_width == 6 and a.game.networks.d_width is None


@mission("a rate was changed", "forty steps were taken")
def turned(record):
    """Turn a rate, then go on."""
    yield "lr" in {e.name for e in record.events}
    yield max(record.rows) >= 40


def test_missions_are_ticked_off_as_the_record_shows_them():
    pytest.importorskip("anywidget")
    lab = small(missions=[turned])
    panel = lab.widget

    def ticks():
        panel.draw(True)
        return [reached for _, reached in unpack_frame(panel.canvas.curves)[1]["missions"][0][1]]
    assert ticks() == [False, False] and unpack_frame(panel.canvas.curves)[1]["missions"][0][0] == "Turn a rate, then go on."
    lab.step(48)
    assert ticks() == [False, False]  # in order
    lab.scrub(32).set("lr", 1e-4)
    assert ticks() == [True, False] and turned.seen(lab.recording()) == [True, False]
    lab.step(16)
    assert ticks() == [True, True] and turned.seen(lab.recording()) == [True, True]
    turned(lab.recording())
    lab.reset()
    assert ticks() == [False, False] and turned.seen(None) == [False, False]
    with pytest.raises(AssertionError, match="a rate was changed"):
        turned(lab.recording())


def test_a_picture_that_fails_is_reported_and_does_not_end_the_lab(panel, monkeypatch):
    def fails(*_):
        raise RuntimeError("no picture")
    with monkeypatch.context() as patch:
        patch.setattr(panel.lab, "frame", fails)
        panel.controls["step"].click()
        panel.driver.wait()
        assert "no picture" in unpack_frame(panel.canvas.frame)[1]["error"]
    panel.controls["step"].click()
    assert sent(panel)[1]["at"] == 7


def test_a_recording_keeps_the_missing_modes_of_every_measured_step():
    lab = small().step(160)
    recording = lab.recording(2)
    assert recording.steps == [0, 160] and sorted(recording.rows) == list(range(0, 161, 16))
    assert list(recording.captured().values()) == [{0, 1, 2, 3} - {*row["A"]["missing"]} for _, row in sorted(lab.history.items())]


@pytest.mark.parametrize("name", ["Minimax", "ClippedWasserstein", "AGameWithANameOfManyWordsThatDoNotFitIntoOneLine"])
@pytest.mark.parametrize("columns", [1, 3])
def test_titles_of_stills_fit_into_the_picture(name, columns, monkeypatch):
    drawn, lab = [], small()
    arrays, note = unpack_frame(render_frame(lab.sides["A"]))
    frame = {side: pack_frame(arrays, note | {"step": 100_000, "captured": 987, "truncation": .35}) for side in "AB"}
    scene = render_scene(lab)
    scene = {key: dict.fromkeys("AB", value["A"]) if key in ("real", "box") else value for key, value in scene.items()}
    monkeypatch.setattr(recordings, "Picture", lambda figure, alt: drawn.append(figure))
    plot_strip(scene | {"sides": dict.fromkeys("AB", name), "modes": 1000}, [frame] * columns)
    drawn[0].draw_without_rendering()
    titles = [ax.title.get_window_extent() for ax in drawn[0].axes]
    edge = drawn[0].bbox
    assert len(titles) == 2 * columns and all("step 100000: 987 of 1000" in ax.get_title() for ax in drawn[0].axes)
    assert [ax.get_title()[:3] for ax in drawn[0].axes] == ["A: "] * columns + ["B: "] * columns
    assert all(0 <= t.x0 and t.x1 <= edge.x1 and 0 <= t.y0 and t.y1 <= edge.y1 for t in titles)
    assert not any(a.overlaps(b) for i, a in enumerate(titles) for b in titles[:i])


def test_play_and_slow_motion_and_pause(panel):
    panel.controls["play"].click()
    time.sleep(.3)
    assert panel.driver.playing and panel.controls["play"].description == "Pause"
    panel.controls["slow"].value = True
    time.sleep(.3)
    assert re.match(r"D 1\. ", panel.driver.message) and panel.driver.stage is panel.driver.stages[0]
    assert [text for *_, text in unpack_frame(panel.canvas.frame)[1]["stages"]] == [s.text for s in panel.driver.stages]
    panel.controls["slow"].value = False
    panel.controls["play"].click()
    _, note = sent(panel)
    assert note["at"] == panel.lab.at > 5 and panel.driver.thread is None and panel.controls["play"].description == "Play"
    assert same(panel.lab, small(versus=GAME).step(panel.lab.at))


def test_the_page_asks_and_is_answered(panel):
    panel.on_message(None, {"do": "view", "change": 1}, [])
    panel.on_message(None, {"do": "scrub", "step": 2}, [])
    assert sent(panel)[1]["at"] == 2
    panel.on_message(None, {"do": "mode_status", "mode": 3, "side": "B"}, [])
    _, note = sent(panel)
    assert note["message"].startswith("Mode 3 is") and note["status"]["side"] == "B" and len(note["status"]["to"]) == 2
    panel.on_message(None, {"do": "leave_out", "mode": 3, "side": "A"}, [])
    frames, note = sent(panel)
    assert [frames[k][1]["without"] for k in "AB"] == [[3], [3]] and panel.fields["without"].value == "3" and note["at"] == 2
    panel.fields["without"].value = "1, 3"
    assert sent(panel)[0]["B"][1]["without"] == [1, 3]
    panel.on_message(None, {"do": "leave_out", "mode": 3, "side": "B"}, [])
    assert sent(panel)[0]["A"][1]["without"] == [1]
    panel.controls["side"].value = "B"
    panel.fields["without"].value = ""
    assert [sent(panel)[0][k][1]["without"] for k in "AB"] == [[1], []]
    panel.controls["side"].value = "both"
    panel.fields["without"].value = "1 x"
    panel.driver.wait()
    assert "without: expected a whole number" in unpack_frame(panel.canvas.frame)[1]["error"]
    panel.on_message(None, {"do": "draw", "points": [[0, 0], [1, 1], [-1, 1]]}, [])
    assert sent(panel)[1]["at"] == 0 and panel.canvas.scene["modes"] == 3
    panel.controls["play"].click()
    panel.on_message(None, {"do": "view", "change": -1}, [])
    panel.driver.wait(10)
    assert panel.driver.thread is None and not panel.driver.playing
    panel.on_message(None, {"do": "mode_status", "mode": 99, "side": "A"}, [])
    panel.driver.wait()
    assert "mode" in unpack_frame(panel.canvas.frame)[1]["error"]


def test_a_cell_shows_a_widget_and_a_still():
    pytest.importorskip("anywidget")
    data, meta = small().step(2)._repr_mimebundle_()
    assert data["image/png"][:4] == b"\x89PNG" and "discs" in meta["image/png"]["alt"]
    assert "application/vnd.jupyter.widget-view+json" in data


def test_a_lab_is_shown_in_colab(monkeypatch):
    """Colab has ipywidgets 7, where a box cannot say how it is shown; anywidget names what shows its widgets there."""
    pytest.importorskip("anywidget")
    import anywidget._util
    import ipywidgets
    view, shows = "application/vnd.jupyter.widget-view+json", SimpleNamespace(_installed_url="https://manager.js")
    monkeypatch.delattr(ipywidgets.Widget, "_repr_mimebundle_", raising=False)
    anywidget._util.enable_custom_widget_manager_once.cache_clear()
    monkeypatch.setitem(sys.modules, "google.colab.output", SimpleNamespace(enable_custom_widget_manager=lambda: None, _widgets=shows))
    lab = small().step(2)
    data, meta = lab._repr_mimebundle_()
    assert data[view] == {"version_major": 2, "version_minor": 0, "model_id": lab.widget.box.model_id}
    assert meta[view]["colab"]["custom_widget_manager"]["url"] == "https://manager.js" and "discs" in meta["image/png"]["alt"]


def test_recordings_hold_what_happened(tmp_path):
    lab = small(versus=GAME).step(20).set("lr", 5e-3).step(80)
    recording = lab.recording(5)
    assert recording.steps[0] == 0 and recording.steps[-1] == 100 and len(recording.steps) == 5 and lab.at == 100
    assert sorted(recording.rows) == sorted({*range(0, 100, 16), 100}) and len(recording.missing("B")) == len(recording.rows) == 8
    assert recording.measures("captured") == [4 - len(missing) for missing in recording.missing()] == [len(v) for v in recording.captured().values()]
    assert recording.events == lab.events and same(Lab.from_string(recording.text), lab)
    page = recording.save_html(tmp_path / "x.html").read_text()
    assert not re.findall(r"(?:src|href)=\"(?!data:)|https?://|import\s*\(", page) and recording.still().alt in page
    shots = json.loads(recording.to_json())["frames"]
    assert [unpack_frame(base64.b64decode(s))[1]["at"] for s in shots] == recording.steps
    assert len(recording._repr_mimebundle_()[0]["text/html"]) < 400_000


def test_one_file_in_the_wheel_draws_everything():
    assert "export default view" in read_static("lab.js") and "export function play" in read_static("lab.js")
    assert ".lab-modes" in read_static("lab.css") and "http" not in read_static("lab.js") + read_static("lab.css")


def test_a_page_that_skips_frames_still_gets_all_that_it_can_draw():
    panel = Lab("minimax", "ring", batch=16, samples=50).widget
    panel.on_message(None, {"do": "view", "change": 1}, None)
    for i in range(40):
        panel.frame_time = time.monotonic() - .1  # it is time for a frame, and nobody is late
        before = panel.sent
        panel.draw(False)
        assert panel.sent == before + 1
        if i % 4 == 3:
            panel.on_message(None, {"do": "ack", "frame": panel.sent}, None)  # only the last of several was drawn
    for _ in range(20):
        panel.frame_time = time.monotonic() - .1
        panel.draw(False)
    assert panel.sent - panel.acknowledged == 8  # a page that draws nothing any more gets no more


def test_modes_drawn_on_a_line_make_a_line():
    panel = Lab("bigan", "line", batch=16, samples=50).widget
    panel.on_message(None, {"do": "draw", "points": [[-1., .3], [0., -.2], [2., 0.]]}, None)
    panel.driver.wait()
    assert not panel.driver.error
    assert panel.lab.modes.event == (1,) and panel.lab.modes.centers.flatten().tolist() == [-1., 0., 2.]
    assert panel.canvas.scene["drawable"] and panel.canvas.scene["line"]


def test_truncation_is_a_slider_where_there_are_styles():
    pytest.importorskip("anywidget")
    styles = {"name": "minimax", "kind": "style", "width": 2, "depth": 1, "latent": 4}
    panel = small(game=styles, modes="digits", versus={**GAME, "kind": "mlp"}).step(3).widget
    slider = panel.fields["truncation"]
    assert type(slider).__name__ == "FloatSlider" and (slider.min, slider.max, slider.value) == (0, 1, 1)
    before = panel.lab.to_string()
    slider.value = .3
    frames, note = sent(panel)
    assert note["at"] == note["last"] == 3 and frames["A"][1]["truncation"] == .3 and "truncation" not in frames["B"][1]
    assert panel.lab.events == [] and panel.lab.to_string() != before
    panel.controls["text"].value = panel.lab.to_string()
    with panel.lab.lock:  # the lab is busy: the slider goes on meanwhile, and only its last place counts
        panel.controls["step"].click()
        while panel.driver.commands:
            time.sleep(.01)
        for value in (.7, .6, .5, .4):
            slider.value = value
        assert [args[1] for name, args, _ in panel.driver.commands if name == "set"] == [.4]
    assert sent(panel)[1]["at"] == 4 and slider.value == .4 == panel.lab.sides["A"].truncation
    slider.value = .8
    sent(panel)
    panel.controls["load"].click()
    sent(panel)
    assert panel.fields["truncation"].value == .3 == panel.lab.sides["A"].truncation
    panel.controls["side"].value = "B"
    panel.fields["truncation"].value = .5  # B has no styles
    panel.driver.wait()
    assert "truncation" in unpack_frame(panel.canvas.frame)[1]["error"] and panel.lab.sides["A"].truncation == .3
    panel.lab.reset(game={**GAME, "kind": "mlp"})
    panel.draw(True)
    assert "truncation" not in panel.fields


def test_a_minority_is_a_field_that_suggests_traits():
    pytest.importorskip("anywidget")
    asking = {"name": "imlegan", "kind": "mlp", "width": 4, "latent": 4, "reals": 4, "pool": 2, "refresh": 4}
    panel = small(game=asking, modes="faces", batch=4).widget
    field = panel.fields["minority"]
    assert type(field).__name__ == "Combobox" and field.value == "" and "eyeglasses" in field.options
    for text, shown in (("eyeglasses", "eyeglasses"), ("3", "3"), ("0, 3", "0 3"), ("", "")):
        panel.fields["minority"].value = text
        sent(panel)
        assert panel.fields["minority"].value == shown
    assert panel.lab.sides["A"].game.minority is None and panel.fields["weight"].value == 1.
    panel.fields["weight"].value = 5.
    assert sent(panel)[1]["at"] == 0 and panel.lab.sides["A"].game.weight == 5
    panel.fields["minority"].value = "glases"
    panel.driver.wait()
    assert "did you mean 'eyeglasses'" in unpack_frame(panel.canvas.frame)[1]["error"] and panel.fields["minority"].value == ""
    panel.lab.set("minority", panel.lab.sides["A"].minority_modes("hat"))
    panel.draw(True)
    assert panel.fields["minority"].value == "hat"

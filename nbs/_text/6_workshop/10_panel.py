# %% [markdown]
# # The lab's controls
# > Buttons that never train, and a thread that lives only while there is something to do

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How can a button answer at once while a network trains in the same process? |
# | **You will be able to** | drive a long computation from a notebook without losing a step, a thread or an error |
# | **Needs** | [1.3](../1_game/03_lab.ipynb), [6.9](09_view.ipynb) |
# | **Time** | seconds |
#
# A workshop chapter, like the one before.

# %%
#| default_exp lab.panel

# %%
#| export
"The lab as a widget: controls, background driver, canvas."
from __future__ import annotations

import functools
import inspect
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from modelab.core.checks import check_choice, check_int
from modelab.core.registry import registered
from modelab.lab.session import (LabSession, ModeStatus, POINT_PRESETS, Side, StepStage, SURFACES, game_settings,
                                 synchronized, trace_step)
from modelab.lab.view import (Recording, make_recording, pack_frame, plot_strip, read_static, render_curves, render_frame,
                              render_scene)
from modelab.training.run import spare_thread

# %%
from modelab.data.mixtures import ring
from modelab.lab.view import unpack_frame
from modelab.methods.minimax import Minimax
from modelab.networks.players import Networks

# %% [markdown]
# ## A button that trains
# Write the obvious thing: a callback that trains. While it runs, the kernel hears nothing, and *Pause* is a message that waits in line. Which thread serves a callback differs between kernels, too: some use the main thread, some another one beside your cell.

# %%
slow = LabSession(Minimax(networks=Networks(width=16)), ring(), batch=32, samples=50)
start = time.perf_counter()
slow.step(200)
assert time.perf_counter() - start > .1  # a tenth of a second is what a hand notices
slow.at

# %% [markdown]
# So a callback may do one thing only: put a command into a queue. A thread takes commands out, one by one; between commands, if the lab plays, it trains for the time of a frame. When there is nothing to do the thread ends: a paused lab has none, and a cell that you run again leaves none behind.

# %%
#| export
def registered_names(kind: str) -> list[str]:  # "game" or "modes"
    "The registered names that can be made without arguments."
    return sorted(name for name, made in registered(kind).items()
                  if all(p.default is not p.empty for p in inspect.signature(made).parameters.values()))


# %%
registered_names("game"), registered_names("modes")

# %%
#| export
class Driver:
    """Carries out a lab's commands one after another, on a thread that lives only while there is something to do.

    `ask` never waits and never trains, so that it may be called from any thread: it is all that a button does.
    """
    SECONDS = 1.25  # that a stage of slow motion lasts
    FPS, SPEEDS = 24, {"1 step/s": 1, "5 steps/s": 5, "25 steps/s": 25, "100 steps/s": 100, "full speed": 0}

    def __init__(self, lab: Lab):
        self.lab, self.gate, self.wake = lab, threading.Lock(), threading.Event()
        self.commands: deque = deque()
        self.cost, self.pace = 0., .01  # seconds that a picture and a step take
        self.tale, self.stage, self.asked = [], None, None  # slow motion: the step's stages, the present one; lamp, side
        self.thread: threading.Thread | None = None
        self.playing, self.slow, self.speed, self.error, self.said = False, False, 0, "", ""
        self.heard = math.inf  # when the view last answered

    def ask(self, name: str, *args: Any, **kw: Any) -> None:
        "Put a command in the queue: a method of the lab, or `put` with how it is driven."
        with self.gate:
            if name == "scrub" and self.commands and self.commands[-1][0] == "scrub":
                self.commands.pop()  # a slider that is dragged asks faster than anybody walks
            self.commands.append((name, args, kw))
            self.wake.set()
            if self.thread is None:
                self.thread = threading.Thread(target=self._work, name="modelab lab", daemon=True)
                self.thread.start()

    def wait(self, seconds: float = 60) -> None:
        "Until nothing is left to do."
        if (thread := self.thread) is not None:
            thread.join(seconds)

    def look(self, surface: str) -> None:
        "Choose what is shown of D."
        self.lab.surface = check_choice("surface", surface, SURFACES)

    def show(self, now: bool = False) -> None:
        "Let the view draw."
        if self.lab.view:
            self.lab.view(now)

    def _work(self) -> None:
        "Commands first, then training while it plays; without either the thread ends."
        while True:
            with self.gate:
                self.wake.clear()
                command = self.commands.popleft() if self.commands else ("_tick", (), {}) if self.playing else None
                if command is None:
                    self.thread = None
                    return
            try:
                name, args, kw = command
                said = getattr(self if hasattr(self, name) else self.lab, name)(*args, **kw)
                if name != "_tick":
                    self.asked = (said, kw.get("side", "A")) if isinstance(said, ModeStatus) else None
                    self.said, self.error = str(said) if self.asked else "", ""
            except Exception as error:
                self.playing, self.error = False, f"{type(error).__name__}: {error}"
            start = time.perf_counter()
            try:
                self.show(not self.playing or command[0] != "_tick")
                self.cost = time.perf_counter() - start
            except Exception as error:  # the picture failed, not the training: the view shows what it can, and this
                self.playing, self.error = False, f"{type(error).__name__}: {error}"
                self.show_error()

    def show_error(self) -> None:
        "Say that the picture failed, on the last picture."
        try:
            self.lab.widget.say()
        except Exception:
            self.lab.view = None

    def put(self, name: str, value: Any) -> None:
        "Change how the lab is driven: playing, speed (steps a second, 0: as fast as it goes) or slow."
        check_choice("name", name, ["playing", "speed", "slow"])
        setattr(self, name, value)
        self.heard = self.heard if self.heard == math.inf else time.monotonic()

    def _tick(self) -> None:
        "Train for a while: the pictures get at most two fifths of the time."
        if time.monotonic() - self.heard > 10:
            self.playing = False  # nobody is looking any more
        elif self.slow:
            self._narrate()
        elif self.speed:
            self.lab.step(max(1, self.speed // self.FPS))
            self.wake.wait(1 / min(self.speed, self.FPS))
        else:
            end = time.perf_counter() + max(1 / self.FPS - self.cost, 1.5 * self.cost)
            while (start := time.perf_counter()) < end and not self.wake.is_set():
                n = max(1, min(32, round((end - start) / self.pace)))  # as many as fit: one by one is a tenth slower
                self.lab.step(n)
                self.pace = (time.perf_counter() - start) / n

    def _narrate(self) -> None:
        "One step, stage by stage; any command ends the tale, and the step is taken."
        self.tale = self.lab.narrate()
        for self.stage in self.tale:
            self.said = f"{self.stage.turn} {self.stage.number}. {self.stage.text}"
            self.show(True)
            if self.wake.wait(self.SECONDS):
                break
        self.tale, self.stage = [], None
        self.lab.step(1)


# %%
#| export
class Lab(LabSession):
    "A training run, or two side by side, with a timeline, shown as a widget: step, change, go back, compare, share."

    @synchronized
    def frame(self, side: str = "A") -> bytes:
        "What is shown of a side at this step, as bytes; see `modelab.lab.view.render_frame`."
        with spare_thread():
            return render_frame(self.sides[check_choice("side", side, self.sides)], self.surface, self.samples)

    @synchronized
    def narrate(self, side: str = "A") -> list[StepStage]:
        "The next step, slowly; see `trace_step`."
        self._become()
        return trace_step(self.sides[check_choice("side", side, self.sides)], lambda: self.frame(side))

    @synchronized
    def recording(self, frames: int = 60) -> Recording:
        "What happened so far, in at most so many frames; see `modelab.lab.view.Recording`."
        return make_recording(self, check_int("frames", frames))

    def record(self, n: int) -> Recording:
        "Go `n` steps and give the recording so far."
        return self.step(n).recording()

    @functools.cached_property
    def driver(self) -> Driver:
        "What carries out commands in the background."
        return Driver(self)

    @functools.cached_property
    def widget(self) -> Panel:
        "The lab as a widget."
        return Panel(self)

    def play(self) -> None:
        "Train and draw until `pause`, while other cells run."
        self.driver.ask("put", "playing", True)

    def pause(self) -> None:
        "Stop after the step that is being taken; afterwards no thread is left."
        self.driver.ask("put", "playing", False)
        self.driver.wait()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        return mime_bundle(self)


# %%
lab = Lab(Minimax(networks=Networks(width=16)), ring(), batch=32, samples=50)
lab.play()
lab.driver.ask("set", "lr", 2e-3)
lab.pause()
assert lab.driver.thread is None and [e.value for e in lab.events] == [2e-3]
again = Lab.from_string(lab.to_string())
assert all(v.equal(lab.sides["A"].snapshot()[k]) for k, v in again.sides["A"].snapshot().items())

# %% [markdown]
# The clock decided at which step the rate was changed, and which steps were drawn; the record says which, and the walk repeats it to the bit.
#
# An error in a thread is an error that nobody sees. The driver keeps its text, and the page shows it:

# %%
lab.driver.ask("set", "lr", -1)
lab.driver.wait()
lab.driver.error

# %% [markdown]
# ## Canvas and controls
# The widget has two parts that talk in one direction each: ipywidgets bring wishes, the canvas brings pictures and answers with plain messages.

# %%
#| export
@functools.cache
def make_canvas() -> Any:
    "The class of the widget that the page draws; made when it is first needed, so that importing stays cheap."
    import anywidget
    import traitlets

    class LabCanvas(anywidget.AnyWidget):
        "What the page is told: what stays, what moves, and the curves."
        _esm, _css = read_static("lab.js"), read_static("lab.css")
        scene = traitlets.Dict().tag(sync=True)
        frame = traitlets.Bytes().tag(sync=True)
        curves = traitlets.Bytes().tag(sync=True)
    return LabCanvas


# %%
#| export
class Panel:
    "The lab as a widget: the picture and its controls. A control never trains and never waits, it asks the driver."
    def __init__(self, lab: Lab):
        import ipywidgets as w
        self.lab, self.driver, self.canvas, self.w = lab, lab.driver, make_canvas()(), w
        self.views = self.sent = self.seen = 0  # pictures on pages; the last frame sent, and the last one that a page has drawn
        self.drawn = self.plotted = 0.
        self.sides, self.quiet = None, False
        self.canvas.on_msg(self.hear)
        self.controls, self.fields = self._controls(), {}
        self.knobs = w.HBox()
        rows = {"play": ["play", "step", "G", "D", "E", "n", "steps", "slow", "speed", "reset"],
                "choice": ["game", "versus", "modes", "preset", "seed"], "share": ["text", "share", "load"]}
        bars = {name: w.HBox([self.controls[k] for k in row]) for name, row in rows.items()} | {"knobs": self.knobs}
        for name, bar in bars.items():
            bar.add_class(f"lab-{name}")
        self.box = w.VBox([bars["play"], self.canvas, bars["choice"], self.knobs, bars["share"]])
        self.box.add_class("modelab-lab")
        lab.view = self.draw
        self.draw(True)

    def ask(self, name: str, *args: Any, **kw: Any) -> None:
        "Ask the driver, unless the panel itself just wrote into the control."
        if not self.quiet:
            self.driver.ask(name, *args, **kw)

    def _controls(self) -> dict[str, Any]:
        "The controls that every game has."
        w, made = self.w, {}

        def button(name: str, text: str, hint: str, act: Callable[[], None], **look: Any) -> None:
            made[name] = w.Button(description=text, tooltip=hint, layout=w.Layout(width="auto"), **look)
            made[name].on_click(lambda _: act())

        def pick(name: str, options: Any, value: Any, act: Callable[[Any], None]) -> None:
            made[name] = w.Dropdown(options=options, value=value, description=name, layout=w.Layout(width="auto"))
            made[name].observe(lambda change: act(change["new"]), "value")
        button("play", "Play", "train and draw; again to pause", self.play, button_style="primary")
        button("step", "Step", "one step, all turns", lambda: self.ask("step", 1))
        for player, name in {"G": "generator", "D": "discriminator", "E": "encoder"}.items():
            button(player, f"{player} only", f"one step in which only the {name} moves",
                   functools.partial(self.ask, "step", 1, only=player))
        made["n"] = w.BoundedIntText(10, 1, 100_000, layout=w.Layout(width="76px"))
        button("steps", "n steps", "as many steps as the number says", lambda: self.ask("step", made["n"].value))
        made["slow"] = w.ToggleButton(False, description="Slow motion", layout=w.Layout(width="auto"),
                                      tooltip="while it plays, tell each step stage by stage")
        made["slow"].observe(lambda change: self.ask("put", "slow", change["new"]), "value")
        pick("speed", list(self.driver.SPEEDS.items()), 0, lambda v: self.ask("put", "speed", v))
        button("reset", "Reset", "back to step 0 with these settings", lambda: self.ask("reset"))
        pick("game", registered_names("game"), None, lambda v: self.ask("reset", game=v))
        pick("versus", ["nobody", *registered_names("game")], "nobody",
             lambda v: self.ask("reset", versus=None if v == "nobody" else v))
        pick("modes", registered_names("modes"), None, lambda v: v and self.ask("reset", modes=v))
        pick("preset", ["", *POINT_PRESETS], "", lambda v: v and self.ask("draw", v))
        made["seed"] = w.BoundedIntText(self.lab.seed, 0, 10 ** 6, description="seed", layout=w.Layout(width="auto"))
        made["seed"].observe(lambda change: self.ask("reset", seed=change["new"]), "value")
        pick("side", ["both", "A", "B"], "both", lambda _: self._refresh())
        made["side"].description = "settings of"
        made["text"] = w.Text(placeholder="a share string", layout=w.Layout(flex="1 1 220px"))
        button("share", "Share", "write this lab's whole state into the field", self.share)
        button("load", "Load", "become the lab that the field describes",
               lambda: self.ask("load", self.controls["text"].value))
        return made

    def play(self) -> None:
        "Play or pause."
        self.ask("put", "playing", not self.driver.playing)

    def share(self) -> None:
        "Show the share string."
        self.controls["text"].value = self.lab.to_string()

    def _now(self, side: Side) -> dict[str, Any]:
        "A side's settings that have a control, as they hold at this step."
        now = {"batch": side.batch, "turns": " ".join(side.words), "without": " ".join(map(str, side.without))}
        now |= {f"lr.{p}": side.players.rates(p)["lr"] for p in side.players.adam} | game_settings(side.game)
        now.pop("lr", None)
        return now

    def _knobs(self) -> dict[str, Any]:
        "A control for every setting of the games that are played: another game brings other ones."
        w, sides = self.w, [*self.lab.sides.values(), self.lab.sides["A"]]
        found = {name: value for side in sides for name, value in self._now(side).items()}  # where both have it, A's value
        made = {}
        for name, value in found.items():
            look = {"description": name, "layout": w.Layout(width="auto"), "continuous_update": False}
            if isinstance(value, bool):
                made[name] = w.Checkbox(value, description=name, indent=False, layout=w.Layout(width="auto"))
            elif isinstance(value, int):
                made[name] = w.BoundedIntText(value, min(0, value), 10 ** 6, **look)
            elif isinstance(value, float):
                made[name] = w.FloatText(value, **look)
            elif value is None or isinstance(value, str):
                made[name] = w.Text(value or "", placeholder="no mode" if name == "without" else "default", **look)
            else:
                continue
            made[name].observe(functools.partial(self._turned, name), "value")
        return made

    def _turned(self, name: str, change: dict) -> None:
        "A setting was changed in the panel."
        def read(text: str) -> int | str | None:
            return int(text) if text.strip().lstrip("-").isdigit() else text.strip() or None
        value = change["new"]
        if isinstance(value, str) and name != "turns":
            value = [read(word) for word in value.replace(",", " ").split()] if name == "without" else read(value)
        side = self.controls["side"].value
        self.ask("set", name, value, side=None if side == "both" else side)

    def hear(self, _: Any, message: dict, __: Any) -> None:
        "What the page says."
        do = message.get("do")
        if do == "view":
            self.views += message["change"]
            if message["change"] < 0 and self.views <= 0:
                self.driver.ask("put", "playing", False)
        if do in ("view", "ack"):
            # Not one frame per answer: a page that got several between two repaints draws, and answers, only the last.
            self.seen = max(self.seen, min(self.sent, int(message.get("frame", self.sent))))
            self.driver.heard = time.monotonic()
        elif do == "scrub":
            self.driver.ask("put", "playing", False)
            self.driver.ask("scrub", int(message["step"]))
        elif do == "lamp":
            self.driver.ask("lamp", int(message["mode"]), side=message["side"])
        elif do == "drop":
            without, mode = self.lab.sides[message["side"]].without, int(message["mode"])
            self._turned("without", {"new": sorted({*without} ^ {mode})})
        elif do == "draw":
            self.driver.ask("draw", [point[:math.prod(self.lab.modes.event)] for point in message["points"]])  # on a line x alone
        elif do == "look":
            self.driver.ask("look", message["surface"])

    def draw(self, now: bool) -> None:
        "Send a frame: at once, or if it is time and the page keeps up."
        clock = time.monotonic()
        if not now and (clock - self.drawn < .8 / self.driver.FPS or self.sent - self.seen >= 8 and clock - self.drawn < .5):
            return
        lab, stage = self.lab, self.driver.stage
        with lab.lock:
            if lab.sides is not self.sides:
                self.sides, self.canvas.scene, self.plotted = lab.sides, render_scene(lab), 0.
                self._renew()
            self.parts = {k: np.frombuffer(lab.frame(k), np.uint8) for k in lab.sides}
            if stage:
                self.parts["A"] = np.frombuffer(stage.frame, np.uint8)
            if now or clock - self.plotted > .5:
                self.canvas.curves, self.plotted = self._past(), clock
                self._refresh()
        self.sent, self.drawn = self.sent + 1, clock
        self.say()

    def say(self) -> None:
        "Send the last pictures with what is to be said now."
        lab, driver = self.lab, self.driver
        tale = [[s.turn, s.number, s.text] for s in driver.tale]
        self.canvas.frame = pack_frame(self.parts, {
            "frame": self.sent, "at": lab.at, "last": lab.last, "playing": driver.playing, "said": driver.said, "error": driver.error,
            "tale": tale, "told": driver.tale.index(driver.stage) if tale and driver.stage else 0,
            "shows": driver.stage.shows if driver.stage else "", "lamp": self._lamp()})

    def _past(self) -> bytes:
        "The timeline so far: measures, events, and which stages of the missions have been seen."
        lab = self.lab
        record = Recording(self.canvas.scene, [], [], dict(lab.history), list(lab.events), "")
        tasks = [[m.text, [list(pair) for pair in zip(m.stages, m.seen(record))]] for m in lab.missions]
        return render_curves(record.rows, record.events, lab.modes.n_modes, tasks)

    def _lamp(self) -> dict[str, Any] | None:
        "The line from a lamp's mode to the nearest sample, for the page."
        if not self.driver.asked or len(self.driver.asked[0].near) != 2 or self.driver.asked[0].near.ndim > 1:
            return None
        asked, side = self.driver.asked
        return {"side": side, "from": asked.near.tolist(), "to": asked.target.tolist()}

    def _renew(self) -> None:
        "New games bring new settings."
        self.fields = self._knobs()
        players = {p for side in self.lab.sides.values() for p in side.players.adam}
        for name in "GDE":
            self.controls[name].layout.display = None if name in players else "none"
        self.knobs.children = (self.controls["side"], *self.fields.values())
        duel = len(self.lab.sides) > 1
        self.controls["side"].layout.display = None if duel else "none"
        self.controls["side"].value = self.controls["side"].value if duel else "both"

    def _refresh(self) -> None:
        "Let the controls say what holds at this step."
        lab, chosen = self.lab, self.controls["side"].value
        side = lab.sides.get("A" if chosen == "both" else chosen, lab.sides["A"])
        now, self.quiet = self._now(side), True
        try:
            for name, field in self.fields.items():
                value = "" if now.get(name) is None else now[name]
                if name in now and field.value != value:
                    field.value = value if not isinstance(field, self.w.Text) else str(value)
            self.controls["play"].description = "Pause" if self.driver.playing else "Play"
            self.controls["seed"].value = lab.seed
            self.controls["slow"].value, self.controls["speed"].value = self.driver.slow, self.driver.speed
            for name, kind, value in (("game", "A", None), ("versus", "B", "nobody")):
                spec = getattr(lab.sides[kind].game, "spec", {}).get("name") if kind in lab.sides else value
                self.controls[name].value = spec if spec in self.controls[name].options else value
            modes = (getattr(lab.modes, "spec", None) or {}).get("name")
            self.controls["modes"].value = modes if modes in self.controls["modes"].options else None
        finally:
            self.quiet = False


# %%
#| export
def mime_bundle(lab: Lab) -> Any:
    "A live widget where there is a kernel, and a still picture for where there is none."
    with lab.lock:
        data, meta = plot_strip(render_scene(lab), [(lab.at, {k: lab.frame(k) for k in lab.sides})])._repr_mimebundle_()
    live = lab.widget.box._repr_mimebundle_() or {}
    return {**(live[0] if isinstance(live, tuple) else live), **data}, meta


# %%
panel = lab.widget
panel.controls["step"].click()
panel.driver.wait()
unpack_frame(panel.canvas.frame)[1]["at"] - 1

# %% [markdown]
# ## Recap
# - Callbacks enqueue; one thread works; no work, no thread.
# - The wall clock may choose what is shown, never what is computed.
# - Errors and endings need a place in the picture.
#
# **For later.** Why may a callback not even take the lab's lock? What happens to a playing lab whose page was closed?

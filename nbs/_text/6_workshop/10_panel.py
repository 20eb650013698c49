# %% [markdown]
# # The lab's controls
# > How can a button answer at once while a network trains in the same process?

# %% [markdown]
# | | |
# |---|---|
# | **Question** | How can a button answer at once while a network trains in the same process? |
# | **You will be able to** | drive a long computation from a notebook without losing a step, a thread or an error |
# | **Needs** | [1.3](../1_game/03_lab.ipynb), [6.9](09_view.ipynb) |
# | **Time** | seconds |
#
# This chapter is for contributors who change the lab's controls, and for readers who want to run a long computation behind buttons in a notebook. How to use the lab is in chapter [1.3](../1_game/03_lab.ipynb). From code you need these calls:
#
# ```python
# from modelab import Lab
#
# lab = Lab("minimax", "ring")                # a cell that ends with `lab` shows it
# lab.play()                                  # train and draw while other cells run
# lab.pause()                                 # waits until the present step is done
# lab.driver.submit("set", "lr", 1e-3)        # what a control does: it returns at once
# lab.record(100)                             # train 100 steps, and show them as a recording
# ```
#
# The chapter exports three modules. `lab.driver` carries out commands in the background, `lab.controls` makes a control for each setting, and `lab.panel` is the widget and the shown `Lab`. A **side** is one of the lab's training runs: there is one, or there are two (A and B) that are compared.

# %%
#| default_exp lab.panel

# %%
#| export lab.driver
"The lab's driver: commands and training on a thread that ends when nothing is left to do."
from __future__ import annotations

import math
import threading
import time
from collections import deque
from typing import Any

from modelab.core.checks import check_choice
from modelab.lab.inspect import ModeStatus, StepStage
from modelab.lab.session import SURFACES, LabSession

# %%
from modelab.course.notebooks import patch
from modelab.data.mixtures import ring
from modelab.lab.view import unpack_frame
from modelab.methods.minimax import Minimax
from modelab.networks.players import Networks

# %% [markdown]
# ## A button that trains
# A callback is a function that the kernel calls when a control is used. The simplest one trains at once. While it runs, the kernel reads no messages, so a click on *Pause* has to wait. Kernels also differ in the thread that runs a callback: some use the main thread, others use a second one beside your cell.

# %%
slow = LabSession(Minimax(networks=Networks(width=16)), ring(), batch=32, samples=50)
start = time.perf_counter()
slow.step(200)
assert time.perf_counter() - start > .1  # a user notices a tenth of a second
slow.at

# %% [markdown]
# So a callback only puts a command into a queue. A thread takes the commands out, one by one. Between commands, if the lab plays, it trains for the time of a frame. When there is nothing to do, the thread ends. So a paused lab has no thread, and running a cell again leaves no old thread behind. `Driver` holds the queue and the thread.

# %%
#| export lab.driver
class Driver:
    """Carries out a lab's commands one after another, on a thread that lives while there is work.

    `submit` never waits and never trains, so it may be called from any thread: it is all that a
    button does.
    """
    STAGE_SECONDS = 1.25  # that a stage of slow motion lasts
    FPS = 24
    SPEEDS = {"1 step/s": 1, "5 steps/s": 5, "25 steps/s": 25, "100 steps/s": 100, "full speed": 0}

    def __init__(self, lab: LabSession):
        self.lab, self.queue_lock, self.wake = lab, threading.Lock(), threading.Event()
        self.commands: deque = deque()
        self.thread: threading.Thread | None = None
        self.draw_seconds, self.step_seconds = 0., .01  # that a picture and a step take
        self.playing, self.slow, self.speed = False, False, 0
        self.stages: list[StepStage] = []  # of the step that slow motion shows
        self.stage: StepStage | None = None  # the present one
        self.status: tuple[ModeStatus, str] | None = None  # that was asked for last, and its side
        self.message, self.error = "", ""
        self.last_answer = math.inf  # when the page last answered


# %% [markdown]
# ### Commands
# A command is the name of a method of the lab, or of the driver, with its arguments. A slider sends commands faster than the lab can carry them out. So a new command of a slider replaces the last one, if that still waits and comes from the same slider. There are two sliders, the timeline and the truncation. `slider_of` says which of them a command comes from:

# %%
#| export lab.driver
def slider_of(command: tuple) -> tuple | None:
    "Which slider a command (name, arguments, named arguments) comes from; None: from no slider."
    name, args, named = command
    if name == "scrub":
        return (name,)
    return (name, named.get("side")) if (name, *args[:1]) == ("set", "truncation") else None


# %% [markdown]
# `submit` puts a command in the queue, and starts the thread if there is none.

# %%
#| export lab.driver
@patch
def submit(self: Driver, name: str, *args: Any, **kw: Any) -> None:
    "Put a command in the queue: a method of the lab, `set_option` or `set_surface`."
    command = name, args, kw
    with self.queue_lock:
        if slider_of(command) and self.commands \
                and slider_of(self.commands[-1]) == slider_of(command):
            self.commands.pop()
        self.commands.append(command)
        self.wake.set()
        if self.thread is None:
            self.thread = threading.Thread(target=self._work, name="modelab lab", daemon=True)
            self.thread.start()


# %% [markdown]
# Code that runs in a cell, such as `pause` and the tests, must wait until all commands are done. The thread ends then, so `wait` waits for its end.

# %%
#| export lab.driver
@patch
def wait(self: Driver, seconds: float = 60) -> None:
    "Wait until nothing is left to do."
    if (thread := self.thread) is not None:
        thread.join(seconds)


# %% [markdown]
# The choice of the surface of D changes nothing in the training. So `set_surface` sets it directly, and it is no event.

# %%
#| export lab.driver
@patch
def set_surface(self: Driver, surface: str) -> None:
    "Choose what is shown of D."
    self.lab.surface = check_choice("surface", surface, SURFACES)


# %% [markdown]
# `set_option` sets playing, speed and slow motion. These belong to the driver and not to the run. Each such command also counts as an answer of the page, so that playing can start although the page was silent before.

# %%
#| export lab.driver
@patch
def set_option(self: Driver, name: str, value: Any) -> None:
    """Change how the lab is driven.

    Playing, speed (steps a second, 0: as fast as it goes) or slow.
    """
    check_choice("name", name, ["playing", "speed", "slow"])
    setattr(self, name, value)
    if self.last_answer != math.inf:
        self.last_answer = time.monotonic()


# %% [markdown]
# ### The thread
# An error in a thread is not shown by the notebook. So the driver keeps the text of an error, and the page shows it. If drawing fails, training has not failed: the page then shows its last picture with the error.
#
# The thread asks `_next_command` what to do. The lock makes sure that a command which comes while the thread ends is not lost.

# %%
#| export lab.driver
@patch
def _next_command(self: Driver) -> tuple | None:
    "The next command; training while the lab plays; None ends the thread."
    with self.queue_lock:
        self.wake.clear()
        if self.commands:
            return self.commands.popleft()
        if self.playing:
            return "_train", (), {}
        self.thread = None
        return None


# %% [markdown]
# `_carry_out` finds the method in the driver or in the lab and calls it. The status of a mode and the text of an error are kept for the page.

# %%
#| export lab.driver
@patch
def _carry_out(self: Driver, name: str, args: tuple, kw: dict) -> None:
    "One command: its answer is kept if it is a mode's status, its error in any case."
    try:
        answer = getattr(self if hasattr(self, name) else self.lab, name)(*args, **kw)
        if name != "_train":
            found = isinstance(answer, ModeStatus)
            self.status = (answer, kw.get("side", "A")) if found else None
            self.message, self.error = str(answer) if found else "", ""
    except Exception as error:
        self.playing, self.error = False, f"{type(error).__name__}: {error}"


# %% [markdown]
# `show` draws and measures how long that takes, since training gets the rest of the time. An error while drawing stops playing and is shown with the last picture.

# %%
#| export lab.driver
@patch
def show(self: Driver, now: bool = False) -> None:
    "Draw, at once or if it is time; an error is shown on the last picture."
    if not self.lab.on_show:
        return
    start = time.perf_counter()
    try:
        self.lab.on_show(now)
        self.draw_seconds = time.perf_counter() - start
    except Exception as error:
        self.playing, self.error = False, f"{type(error).__name__}: {error}"
        self._show_error()


# %% [markdown]
# The last picture is sent again with the error. If that fails as well, no page can show anything, and drawing is switched off.

# %%
#| export lab.driver
@patch
def _show_error(self: Driver) -> None:
    "Send the last picture again with the error; without a page that takes it, draw no more."
    try:
        self.lab.widget.send()
    except Exception:
        self.lab.on_show = None


# %% [markdown]
# `_work` is the function of the thread. It draws at once after a command, and while training only if a picture is due.

# %%
#| export lab.driver
@patch
def _work(self: Driver) -> None:
    "The thread: commands first, then training while the lab plays."
    while (command := self._next_command()) is not None:
        self._carry_out(*command)
        self.show(not self.playing or command[0] != "_train")


# %% [markdown]
# ### Training for the time of a frame
# `_train` takes steps in groups that fit the time that is left, because single steps are slower. Training gets at least one and a half times as long as the last picture took, so pictures get at most two fifths of the time. If the page has not answered for ten seconds, it counts as closed, and training stops.

# %%
#| export lab.driver
@patch
def _train(self: Driver) -> None:
    "Train for a while, as fast as the speed says."
    if time.monotonic() - self.last_answer > 10:
        self.playing = False
    elif self.slow:
        self._slow_step()
    elif self.speed:
        self.lab.step(max(1, self.speed // self.FPS))
        self.wake.wait(1 / min(self.speed, self.FPS))
    else:
        self._train_for(max(1 / self.FPS - self.draw_seconds, 1.5 * self.draw_seconds))


# %% [markdown]
# The number of steps that fit is estimated from the time of the last steps. A group has at most 32 steps, so that a new command does not wait long.

# %%
#| export lab.driver
@patch
def _train_for(self: Driver, seconds: float) -> None:
    "Train for so many seconds, or until a command comes."
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end and not self.wake.is_set():
        n = max(1, min(32, round((end - start) / self.step_seconds)))
        self.lab.step(n)
        self.step_seconds = (time.perf_counter() - start) / n


# %% [markdown]
# In slow motion each stage stays on the page for a moment. Any command ends the stages, so that the controls answer at once.

# %%
#| export lab.driver
@patch
def _slow_step(self: Driver) -> None:
    "One step, stage by stage; any command ends the stages, and the step is taken."
    self.stages = self.lab.trace_step()
    for self.stage in self.stages:
        self.message = f"{self.stage.turn} {self.stage.number}. {self.stage.text}"
        self.show(True)
        if self.wake.wait(self.STAGE_SECONDS):
            break
    self.stages, self.stage = [], None
    self.lab.step(1)


# %%
driver = Driver(slow)
driver.submit("set_option", "playing", True)
driver.submit("set", "lr", 2e-3)
driver.submit("set_option", "playing", False)
driver.wait()
assert driver.thread is None and [e.value for e in slow.events] == [2e-3] and not driver.error
driver.submit("set", "lr", -1)
driver.wait()
driver.error

# %% [markdown]
# The clock decided at which step the rate was changed. The event records this step, so the run can be repeated bit for bit. The last cell of this chapter checks that.

# %% [markdown]
# ## Settings and their controls
# Each setting of the games that are played gets a control that suits its value. A learning rate gets one control for each player. A schedule gets none. If you add a setting to a game, its control appears without any change here.

# %%
#| export lab.controls
"Controls of the lab's settings: which settings have one, of which kind, and how its text is read."
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelab.lab.side import Side, game_settings, is_setting_group, setting_choices

# %% [markdown]
# A *minority* is the list of modes that a game with IMLE matches, if it does not match all (chapter [3.2](../3_inclusion/02_imle_gan.ipynb)). `minority_text` shows it as a text: the name of the trait that all its modes show and no other mode does, or else their numbers.

# %%
#| export lab.controls
def minority_text(side: Side, minority: Sequence[int] | None) -> str:
    "A minority in words: a trait of the set if there is one that fits, else numbers; empty: all."
    if minority is None:
        return ""
    fits = [name for i, name in enumerate(getattr(side.modes, "traits", ()))
            if side.modes.kinds[:, i].nonzero().flatten().tolist() == sorted(minority)]
    return (fits or [" ".join(map(str, minority))])[0]


# %% [markdown]
# `side_settings` collects the settings that have a control, with their present values: the truncation where there are styles, those of the lab, one rate for each player, and those of the game.

# %%
#| export lab.controls
def side_settings(side: Side) -> dict[str, Any]:
    "A side's settings that have a control, as they hold at this step."
    now = {"batch": side.batch, "turns": " ".join(side.words), "without": list(side.without)}
    now |= {f"lr.{p}": side.players.rates(p)["lr"] for p in side.players.adam}
    game = {name: value for name, value in game_settings(side.game).items()
            if name != "lr" and not isinstance(value, dict)
            and not is_setting_group(side.game, name)}
    if "minority" in game:
        game["minority"] = minority_text(side, game["minority"])
    shown = {"truncation": side.truncation} if "truncation" in side.setting_names() else {}
    return shown | now | game


# %%
side_settings(Side(Minimax(networks=Networks(width=16)), ring(), seed=0, batch=32))

# %% [markdown]
# A text field is used for a value that is not a number, a switch or a menu: turns, lists of numbers, and settings that may be left to their default. `field_text` gives the text of such a field.

# %%
#| export lab.controls
def field_text(value: Any) -> str:
    "A setting as the text of a field; empty for None."
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    return "" if value is None else str(value)


# %% [markdown]
# `parse_text` reads one word of a text field. An empty field means None, the default of the setting.

# %%
#| export lab.controls
def parse_text(text: str) -> int | float | str | None:
    "A number if the text is one, None if it is empty, else the text."
    text = text.strip()
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text or None


# %% [markdown]
# `read_field` gives what a control says the type of the setting. If the present value is a list, the text is read as a list of words; the turns of a step stay a text.

# %%
#| export lab.controls
def read_field(name: str, value: Any, now: Any) -> Any:
    "What a control says, as the value of a setting that now is `now`."
    if not isinstance(value, str) or name == "turns":
        return value
    if isinstance(now, (list, tuple)):
        return [parse_text(word) for word in value.replace(",", " ").split()]
    return parse_text(value)


# %%
assert [parse_text(t) for t in ("3", " -1 ", ".5", "cosine", "")] == [3, -1, .5, "cosine", None]
assert read_field("betas", "0, .9", (0., .99)) == [0, .9] and field_text((0., .9)) == "0.0 0.9"

# %% [markdown]
# Some controls offer choices: those in the annotation of a setting, or for a minority the traits of the set. `control_choices` lists them.

# %%
#| export lab.controls
def control_choices(side: Side, name: str) -> tuple[str, ...]:
    "What the control of a setting offers, if it is a few words; else nothing."
    if name == "minority":
        return tuple(getattr(side.modes, "traits", ()))
    return setting_choices(side.game, name)


# %% [markdown]
# `setting_control` makes a control. Its kind follows from the value: a menu for a setting with choices, a check box for True and False, a number field or a text field for the others. Truncation is a slider. A minority is a text field that suggests the traits, since other texts are possible, too.

# %%
#| export lab.controls
def setting_control(w: Any, name: str, value: Any, choices: tuple = ()) -> Any:
    "The control of a setting: menu, check box, slider, number or text; `w` is ipywidgets."
    look = {"description": name, "layout": w.Layout(width="auto")}
    if choices and value in choices:
        return w.Dropdown(options=choices, value=value, **look)
    if isinstance(value, bool):
        return w.Checkbox(value, indent=False, **look)
    look["continuous_update"] = False
    if name == "truncation":
        return w.FloatSlider(value, min=0, max=1, step=.05, **look)
    if name == "minority":
        return w.Combobox(value=value, options=choices, placeholder="all modes", **look)
    if isinstance(value, int):
        return w.BoundedIntText(value, min(0, value), 10 ** 6, **look)
    if isinstance(value, float):
        return w.FloatText(value, **look)
    hint = "no mode" if name == "without" else "default"
    return w.Text(field_text(value), placeholder=hint, **look)


# %% [markdown]
# ## The page
# The widget has two parts. ipywidgets make the controls and call Python; the canvas draws what Python sends and answers with plain messages.

# %%
#| export
"The lab as a widget: controls, canvas, and `Lab`, the session that is shown in a notebook."
from __future__ import annotations

import functools
import inspect
import math
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from modelab.core.checks import check_choice, check_int
from modelab.core.plotting import widget_view
from modelab.core.registry import registered
from modelab.lab.controls import (control_choices, field_text, read_field, setting_control,
                                  side_settings)
from modelab.lab.driver import Driver
from modelab.lab.inspect import StepStage, trace_step
from modelab.lab.points import POINT_PRESETS
from modelab.lab.recording import (Recording, make_recording, plot_strip, read_static,
                                   render_curves)
from modelab.lab.session import LabSession, synchronized
from modelab.lab.view import pack_frame, render_frame, render_scene
from modelab.training.run import spare_thread

# %% [markdown]
# The menus offer what can be made from a name alone, the names that `registered_names` gives. A game or a mode set that needs arguments is left out.

# %%
#| export
def registered_names(kind: str) -> list[str]:  # "game" or "modes"
    "The registered names that can be made without arguments."
    return sorted(name for name, made in registered(kind).items()
                  if all(p.default is not p.empty
                         for p in inspect.signature(made).parameters.values()))


# %%
registered_names("game"), registered_names("modes")

# %% [markdown]
# The canvas is a widget of the package anywidget: a Python class that is synchronised with a script on the page. `make_canvas` gives the class. It is made at first use, because importing anywidget takes time and the library must work without it.

# %%
#| export
@functools.cache
def make_canvas() -> Any:
    "The class of the widget that the page draws; made on first use, so that importing is cheap."
    import anywidget
    import traitlets

    class LabCanvas(anywidget.AnyWidget):
        "What is sent to the page: the scene, the present frame, and the curves."
        _esm, _css = read_static("lab.js"), read_static("lab.css")
        scene = traitlets.Dict().tag(sync=True)
        frame = traitlets.Bytes().tag(sync=True)
        curves = traitlets.Bytes().tag(sync=True)
    return LabCanvas


# %% [markdown]
# ## The panel
# `Panel` holds the canvas and the controls. A callback of a control does not train and does not wait: it submits a command. When the panel itself writes into a control, `quiet` keeps that from becoming a command. `quiet` holds for one thread: the driver's thread may write into the controls while a click arrives on another one, and the click must count.

# %%
#| export
class Panel:
    "The lab as a widget: the canvas and its controls."
    def __init__(self, lab: Lab):
        import ipywidgets as w
        self.lab, self.driver, self.canvas, self.w = lab, lab.driver, make_canvas()(), w
        self.views = 0  # pages that show the canvas
        self.sent = self.acknowledged = 0  # the last frame sent, and the last one that was drawn
        self.frame_time = self.curves_time = 0.  # when they were last sent
        self.sides, self.quiet = None, threading.local()
        self.parts: dict[str, np.ndarray] = {}  # frames by side
        self.canvas.on_msg(self.on_message)
        self.controls: dict[str, Any] = {}
        self.fields: dict[str, Any] = {}  # controls of settings
        self._make_play_controls()
        self._make_choices()
        self._make_share_controls()
        self.knobs = w.HBox()
        self.box = self._arrange()
        lab.on_show = self.draw
        self.draw(True)


# %% [markdown]
# All callbacks of the controls go through `submit`, so the test of `quiet` is in one place.

# %%
#| export
@patch
def submit(self: Panel, name: str, *args: Any, **kw: Any) -> None:
    "Submit a command, unless the panel itself wrote into the control."
    if not getattr(self.quiet, "on", False):
        self.driver.submit(name, *args, **kw)


# %% [markdown]
# ### The controls
# Buttons and menus are made in the same way and stored by name. `_add_button` makes one button.

# %%
#| export
@patch
def _add_button(self: Panel, name: str, text: str, hint: str, act: Callable[[], None],
                **look: Any) -> None:
    "A button that calls `act`."
    layout = self.w.Layout(width="auto")
    self.controls[name] = self.w.Button(description=text, tooltip=hint, layout=layout, **look)
    self.controls[name].on_click(lambda _: act())


# %% [markdown]
# `_add_menu` makes one menu. Its callback gets the chosen value and not the whole change of the widget.

# %%
#| export
@patch
def _add_menu(self: Panel, name: str, options: Any, value: Any, act: Callable[[Any], Any],
              text: str = "") -> None:
    "A menu that calls `act` with what was chosen."
    menu = self.w.Dropdown(options=options, value=value, description=text or name,
                           layout=self.w.Layout(width="auto"))
    menu.observe(lambda change: act(change["new"]), "value")
    self.controls[name] = menu


# %% [markdown]
# The first row of controls trains: play and pause, single steps, steps of one player, the speed, slow motion and the reset.

# %%
#| export
@patch
def _make_play_controls(self: Panel) -> None:
    "Play, step, and how fast."
    w, add = self.w, self._add_button
    add("play", "Play", "train and draw; again to pause", self.play, button_style="primary")
    add("step", "Step", "one step, all turns", lambda: self.submit("step", 1))
    for player, name in {"G": "generator", "D": "discriminator", "E": "encoder"}.items():
        add(player, f"{player} only", f"one step in which only the {name} moves",
            functools.partial(self.submit, "step", 1, only=player))
    n = self.controls["n"] = w.BoundedIntText(10, 1, 100_000, description="n",
                                              style={"description_width": "initial"},
                                              layout=w.Layout(width="96px"))
    add("steps", "n steps", "as many steps as the number says",
        lambda: self.submit("step", n.value))
    slow = self.controls["slow"] = w.ToggleButton(
        False, description="Slow motion", layout=w.Layout(width="auto"),
        tooltip="while it plays, show each step stage by stage")
    slow.observe(lambda change: self.submit("set_option", "slow", change["new"]), "value")
    self._add_menu("speed", list(self.driver.SPEEDS.items()), 0,
                   lambda value: self.submit("set_option", "speed", value))
    add("reset", "Reset", "back to step 0 with these settings", lambda: self.submit("reset"))


# %% [markdown]
# The second row chooses what is trained: the games, the data, the seed, and the side that the settings belong to. Each choice except the side starts again at step 0.

# %%
#| export
@patch
def _make_choices(self: Panel) -> None:
    "Which games are played on which data."
    w, games = self.w, registered_names("game")
    self._add_menu("game", games, None, lambda v: self.submit("reset", game=v))
    self._add_menu("versus", ["none", *games], "none",
                   lambda v: self.submit("reset", versus=None if v == "none" else v))
    self._add_menu("modes", registered_names("modes"), None,
                   lambda v: v and self.submit("reset", modes=v))
    self._add_menu("preset", ["", *POINT_PRESETS], "", lambda v: v and self.submit("draw", v))
    self._add_menu("side", ["both", "A", "B"], "both", lambda _: self._refresh(), "settings of")
    seed = self.controls["seed"] = w.BoundedIntText(self.lab.seed, 0, 10 ** 6,
                                                    description="seed",
                                                    layout=w.Layout(width="auto"))
    seed.observe(lambda change: self.submit("reset", seed=change["new"]), "value")


# %% [markdown]
# The last row holds a text field for the share string, with one button to write it and one to read it.

# %%
#| export
@patch
def _make_share_controls(self: Panel) -> None:
    "The share string."
    layout = self.w.Layout(flex="1 1 220px")
    text = self.controls["text"] = self.w.Text(placeholder="a share string", layout=layout)
    self._add_button(
        "share", "Share", "write this lab's whole state into the field", self.share
    )
    self._add_button("load", "Load", "become the lab that the field describes",
                     lambda: self.submit("load", text.value))


# %% [markdown]
# The rows are put around the canvas. They get class names, by which the style sheet of the page finds them.

# %%
#| export
@patch
def _arrange(self: Panel) -> Any:
    "All controls in rows around the canvas."
    w = self.w
    rows = {"play": ["play", "step", "G", "D", "E", "n", "steps", "slow", "speed", "reset"],
            "choice": ["game", "versus", "modes", "preset", "seed"],
            "share": ["text", "share", "load"]}
    bars = {name: w.HBox([self.controls[k] for k in row]) for name, row in rows.items()}
    bars["knobs"] = self.knobs
    for name, bar in bars.items():
        bar.add_class(f"lab-{name}")
    box = w.VBox([bars["play"], self.canvas, bars["choice"], self.knobs, bars["share"]])
    box.add_class("modelab-lab")
    return box


# %% [markdown]
# One button plays and pauses. Which of the two it does depends on the state of the driver at the click.

# %%
#| export
@patch
def play(self: Panel) -> None:
    "Play or pause."
    self.submit("set_option", "playing", not self.driver.playing)


# %% [markdown]
# `share` only writes a text into the field, so it is called in the callback and not as a command.

# %%
#| export
@patch
def share(self: Panel) -> None:
    "Show the share string."
    self.controls["text"].value = self.lab.to_string()


# %% [markdown]
# ### Settings
# New games have other settings, so the controls are made anew.

# %%
#| export
@patch
def _make_fields(self: Panel) -> dict[str, Any]:
    "A control for every setting of the games; where both have a setting, A's value is shown."
    fields = {}
    for side in self.lab.sides.values():
        for name, value in side_settings(side).items():
            if name not in fields:
                choices = control_choices(side, name)
                fields[name] = setting_control(self.w, name, value, choices)
                fields[name].observe(functools.partial(self._set, name), "value")
    return fields


# %% [markdown]
# When a control changes, its value is read as the type of the setting and submitted for the chosen side, or for both.

# %%
#| export
@patch
def _set(self: Panel, name: str, change: dict) -> None:
    "A setting was changed in the panel."
    now = [settings[name] for side in self.lab.sides.values()
           if name in (settings := side_settings(side))]
    side = self.controls["side"].value
    self.submit("set", name, read_field(name, change["new"], now[0] if now else None),
                side=None if side == "both" else side)


# %% [markdown]
# `_renew` puts the controls of new games on the page. Buttons of players that no game has are hidden, and so is the choice of a side if there is only one.

# %%
#| export
@patch
def _renew(self: Panel) -> None:
    "Show the controls of new games."
    self.fields = self._make_fields()
    players = {p for side in self.lab.sides.values() for p in side.players.adam}
    for name in "GDE":
        self.controls[name].layout.display = None if name in players else "none"
    choice, two = self.controls["side"], len(self.lab.sides) > 1
    self.knobs.children = (choice, *self.fields.values())
    choice.layout.display = None if two else "none"
    choice.value = choice.value if two else "both"


# %% [markdown]
# After a step or a jump along the timeline the controls must show the settings of that step. `quiet` is set meanwhile, so writing them is not taken for a user's change. While commands wait, nothing is written: a slider would jump back to the value before the last one. The controls are written after the last command.

# %%
#| export
@patch
def _refresh(self: Panel) -> None:
    "Write what holds at this step into the controls."
    lab, chosen = self.lab, self.controls["side"].value
    side = lab.sides.get("A" if chosen == "both" else chosen, lab.sides["A"])
    if self.driver.commands:
        return
    self.quiet.on = True
    try:
        now = side_settings(side)
        for name, field in self.fields.items():
            if isinstance(field, self.w.Text) and name in now:
                field.value = field_text(now[name])
            elif now.get(name) is not None:
                field.value = now[name]
        self._refresh_choices()
    finally:
        self.quiet.on = False


# %% [markdown]
# The choices of games, data and speed are refreshed in the same way. A game without a registered name is shown as no choice.

# %%
#| export
@patch
def _refresh_choices(self: Panel) -> None:
    "Write the present games, data and speed into their controls."
    lab, driver, c = self.lab, self.driver, self.controls
    c["play"].description = "Pause" if driver.playing else "Play"
    c["seed"].value, c["slow"].value, c["speed"].value = lab.seed, driver.slow, driver.speed
    for name, kind, value in (("game", "A", None), ("versus", "B", "none")):
        if kind in lab.sides:
            value = getattr(lab.sides[kind].game, "spec", {}).get("name")
        c[name].value = value if value in c[name].options else None
    modes = (getattr(lab.modes, "spec", None) or {}).get("name")
    c["modes"].value = modes if modes in c["modes"].options else None


# %% [markdown]
# ### Messages of the page
# `on_message` receives the messages of the page. The page sends one when it is shown or closed, when it has drawn a frame, and when something was clicked. It does not answer each frame: if several frames came between two repaints, it draws and answers only the last one.

# %%
#| export
@patch
def on_message(self: Panel, _: Any, message: dict, __: Any) -> None:
    "A message of the page."
    do, submit = message.get("do"), self.driver.submit
    if do in ("view", "ack"):
        self._on_answer(message)
    elif do == "scrub":
        submit("set_option", "playing", False)
        submit("scrub", int(message["step"]))
    elif do == "mode_status":
        submit("mode_status", int(message["mode"]), side=message["side"])
    elif do == "leave_out":
        without, mode = self.lab.sides[message["side"]].without, int(message["mode"])
        self._set("without", {"new": sorted({*without} ^ {mode})})
    elif do == "draw":
        d = math.prod(self.lab.modes.event)  # on a line only x
        submit("draw", [point[:d] for point in message["points"]])
    elif do == "set_surface":
        submit("set_surface", message["surface"])


# %% [markdown]
# The answers of the page are counted: how many pages are open, and which frame was drawn last. When the last page closes, playing stops.

# %%
#| export
@patch
def _on_answer(self: Panel, message: dict) -> None:
    "A page was opened or closed, or has drawn a frame."
    change = message.get("change", 0)
    self.views += change
    if change < 0 and self.views <= 0:
        self.driver.submit("set_option", "playing", False)
    drawn = min(self.sent, int(message.get("frame", self.sent)))
    self.acknowledged = max(self.acknowledged, drawn)
    self.driver.last_answer = time.monotonic()


# %% [markdown]
# ### Frames
# A frame is sent at once, or if it is due and the page is fast enough: when eight frames wait for an answer, the next one is sent only after half a second.

# %%
#| export
@patch
def _is_time(self: Panel, clock: float) -> bool:
    "Whether a frame is due, and the page is not behind."
    since = clock - self.frame_time
    behind = self.sent - self.acknowledged >= 8
    return since >= .8 / self.driver.FPS and (not behind or since >= .5)


# %% [markdown]
# `draw` makes the frames of all sides and sends them. The scene is sent only when the games have changed, and the curves at most twice a second unless the frame is needed at once.

# %%
#| export
@patch
def draw(self: Panel, now: bool) -> None:
    "Send a frame: at once, or if it is time."
    clock = time.monotonic()
    if not now and not self._is_time(clock):
        return
    lab, stage = self.lab, self.driver.stage
    with lab.lock:
        if lab.sides is not self.sides:
            self.sides, self.canvas.scene, self.curves_time = lab.sides, render_scene(lab), 0.
            self._renew()
        self.parts = {k: np.frombuffer(lab.frame(k), np.uint8) for k in lab.sides}
        if stage:
            self.parts["A"] = np.frombuffer(stage.frame, np.uint8)
        if now or clock - self.curves_time > .5:
            self.canvas.curves, self.curves_time = self._curves(), clock
            self._refresh()
    self.sent, self.frame_time = self.sent + 1, clock
    self.send()


# %% [markdown]
# `send` packs the last pictures together with the present message, error and stage. It is a method of its own, because an error is sent without a new picture.

# %%
#| export
@patch
def send(self: Panel) -> None:
    "Send the last pictures with the present message, error and stages."
    lab, driver = self.lab, self.driver
    stages = [[s.turn, s.number, s.text] for s in driver.stages]
    present = driver.stages.index(driver.stage) if stages and driver.stage else 0
    self.canvas.frame = pack_frame(self.parts, {
        "frame": self.sent, "at": lab.at, "last": lab.last, "playing": driver.playing,
        "message": driver.message, "error": driver.error, "stages": stages, "stage": present,
        "shows": driver.stage.shows if driver.stage else "", "status": self._status_line()})


# %% [markdown]
# The curves are those of a recording without frames. A mission (chapter [1.3](../1_game/03_lab.ipynb)) reads from a recording which of its stages were reached, so that the page can tick them off.

# %%
#| export
@patch
def _curves(self: Panel) -> bytes:
    "The timeline so far: measures, events, and which stages of the missions were reached."
    lab = self.lab
    record = Recording(self.canvas.scene, [], [], dict(lab.history), list(lab.events), "")
    missions = [[m.text, [list(pair) for pair in zip(m.stages, m.seen(record))]]
                for m in lab.missions]
    return render_curves(record.rows, record.events, lab.modes.n_modes, missions)


# %% [markdown]
# If a user has asked for the status of a mode, the page draws a line from the nearest sample to the mode. That is possible for points in two dimensions only.

# %%
#| export
@patch
def _status_line(self: Panel) -> dict[str, Any] | None:
    "The line from the nearest sample to the mode that was asked about, for the page."
    if not self.driver.status:
        return None
    status, side = self.driver.status
    if tuple(status.nearest.shape) != (2,):
        return None
    return {"side": side, "from": status.nearest.tolist(), "to": status.target.tolist()}


# %% [markdown]
# ## The shown lab
# `Lab` is the session with a view: what `from modelab import Lab` gives.

# %%
#| export
class Lab(LabSession):
    "A training run, or two side by side, with a timeline: step, change, go back, compare, share."

    @functools.cached_property
    def driver(self) -> Driver:
        "What carries out commands in the background."
        return Driver(self)

    @functools.cached_property
    def widget(self) -> Panel:
        "The lab as a widget."
        return Panel(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        return mime_bundle(self)


# %% [markdown]
# `frame` gives the picture of a side as bytes. It is computed with one thread fewer, as training is.

# %%
#| export
@patch
@synchronized
def frame(self: Lab, side: str = "A") -> bytes:
    "What is shown of a side at this step, as bytes; see `modelab.lab.view.render_frame`."
    with spare_thread():
        chosen = self.sides[check_choice("side", side, self.sides)]
        return render_frame(chosen, self.surface, self.samples)


# %% [markdown]
# For slow motion `trace_step` traces the next step of a side. The settings of the present step are applied first.

# %%
#| export
@patch
@synchronized
def trace_step(self: Lab, side: str = "A") -> list[StepStage]:
    "The next step in stages; see `modelab.lab.inspect.trace_step`."
    self._apply_events()
    chosen = self.sides[check_choice("side", side, self.sides)]
    return trace_step(chosen, lambda: self.frame(side))


# %% [markdown]
# `recording` makes a recording of the run so far, for a page without a kernel or for a grader.

# %%
#| export
@patch
@synchronized
def recording(self: Lab, frames: int = 60) -> Recording:
    "The run so far in at most so many frames; see `modelab.lab.recording.Recording`."
    return make_recording(self, check_int("frames", frames))


# %% [markdown]
# Chapters often train and show the result in one line, which is what `record` is for.

# %%
#| export
@patch
def record(self: Lab, n: int) -> Recording:
    "Train `n` steps and give the recording so far."
    return self.step(n).recording()


# %% [markdown]
# `play` and `pause` are the buttons as methods, for use from a cell. `play` returns at once.

# %%
#| export
@patch
def play(self: Lab) -> None:
    "Train and draw until `pause`, while other cells run."
    self.driver.submit("set_option", "playing", True)


# %% [markdown]
# `pause` waits until the driver is done, so the next line of the cell sees the final state.

# %%
#| export
@patch
def pause(self: Lab) -> None:
    "Stop after the present step; afterwards no thread is left."
    self.driver.submit("set_option", "playing", False)
    self.driver.wait()


# %% [markdown]
# A stored notebook must show something without a kernel. So the output of a lab contains both: the widget, and a still picture with its text. Colab has to load software that shows widgets; anywidget writes into the metadata of the canvas which one. `mime_bundle` copies this note into the output of the lab.

# %%
#| export
def mime_bundle(lab: Lab) -> Any:
    "A live widget where there is a kernel, and a still picture for where there is none."
    with lab.lock:
        still = plot_strip(render_scene(lab), [{k: lab.frame(k) for k in lab.sides}])
    data, meta = still._repr_mimebundle_()
    noted = lab.widget.canvas._repr_mimebundle_()[1]
    return {**widget_view(lab.widget.box), **data}, {**meta, **noted}


# %%
lab = Lab(Minimax(networks=Networks(width=16)), ring(), batch=32, samples=50)
lab.play()
lab.driver.submit("set", "lr", 2e-3)
lab.pause()
again = Lab.from_string(lab.to_string())
now = lab.sides["A"].snapshot()
assert all(v.equal(now[k]) for k, v in again.sides["A"].snapshot().items())
panel = lab.widget
at = lab.at
panel.controls["step"].click()
panel.driver.wait()
assert unpack_frame(panel.canvas.frame)[1]["at"] == at + 1
list(panel.fields)

# %% [markdown]
# ## Recap
# - Callbacks put commands in a queue, and one thread carries them out. Without commands or training there is no thread.
# - The pictures may depend on the clock. The state depends on the recorded events only.
# - Errors of the thread are shown on the page.
#
# **For later.**
#
# 1. Why may a callback not even take the lab's lock?
# 2. What happens to a playing lab whose page was closed?
#
# <details><summary>Answers</summary>
#
# 1. The thread holds the lock while it trains a group of steps. The callback would wait as long, and meanwhile the kernel would read no messages.
# 2. The page sends a message when it is closed, and playing stops. If the message is lost, playing stops when the page has answered nothing for ten seconds.
#
# </details>

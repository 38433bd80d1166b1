"""The perception axis: how hard a picture is to read, as knobs of the renderer and nothing else."""

from dataclasses import dataclass

from vlm_gym.knobs import Choice, Knobs, knob, settle
from vlm_gym.render.theme import THEMES


@dataclass(frozen=True, kw_only=True)
class Look(Knobs):
    """How a scene is drawn. The defaults are perception level 0."""

    size: int = knob(448, "height and width of the picture in pixels", (64, 1024))
    cell: int = knob(0, "height and width of a cell in pixels at most; 0: as large as fits", (0, 1024))
    theme: str = knob("classic", "set of colours and tiles; 'any': by seed", (*THEMES, "any"))
    tile: float = knob(1.0, "size of a tile as a share of its cell", (0.6, 1.0))
    color_distance: float = knob(1.0, "how far apart the colours are; less pulls them together", (0.4, 1.0))
    variation: float = knob(0.0, "how much font, fill, tint and scale differ from tile to tile", (0.0, 1.0))
    rotation: float = knob(0.0, "largest tilt of a tile in degrees", (0.0, 20.0))
    jitter: float = knob(0.0, "how far a tile strays, as a share of the free room in its cell", (0.0, 1.0))
    clutter: float = knob(0.0, "density of meaningless strokes and dots", (0.0, 1.0))
    blur: float = knob(0.0, "softness; 1 blurs over 4 % of a cell", (0.0, 1.0))
    noise: float = knob(0.0, "grain; 1 has a standard deviation of 28 grey levels", (0.0, 1.0))

    @property
    def varied(self) -> bool:
        """Return whether two tiles of one kind may be drawn differently."""
        return any((self.variation, self.rotation, self.jitter, self.clutter))


LOOKS: tuple[Look, ...] = (
    Look(),
    Look(theme="any", variation=0.25, tile=0.95),
    Look(theme="any", variation=0.5, tile=0.9, color_distance=0.8, rotation=5.0, jitter=0.5),
    Look(
        theme="any",
        variation=0.8,
        tile=0.86,
        color_distance=0.72,
        rotation=9.0,
        jitter=0.8,
        clutter=0.4,
        blur=0.25,
    ),
    Look(
        theme="any",
        variation=1.0,
        tile=0.8,
        color_distance=0.62,
        rotation=14.0,
        jitter=1.0,
        clutter=0.8,
        blur=0.5,
        noise=0.5,
    ),
)
"""Perception levels 0 to 4."""


def look(choice: Choice | Look) -> Look:
    """Turn a perception level or named knobs into a `Look`; `ValueError` lists what there is."""
    return settle("perception", choice, LOOKS)

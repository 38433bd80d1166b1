r"""Make the shipped fonts and pictures from npm packages. Run by hand, once; the package never runs it.

npm install --prefix SOURCES inter-ui@4.1.1 jetbrains-mono@1.0.6 @fontsource/fredoka@5.3.0 \
    @fontsource/roboto-slab@5.3.0 @iconify-json/{twemoji@1.2.5,noto@1.2.9,noto-v1@1.2.5,fxemoji@1.2.2} \
    @iconify-json/{fluent-emoji-flat@1.2.6,emojione@1.2.3,streamline-emojis@1.2.4}
pip install pillow "fonttools[woff]" resvg-py imagequant pyoxipng
python assets/make.py SOURCES/node_modules
"""

import io
import json
import sys
from pathlib import Path
from typing import Any

import imagequant
import oxipng
import resvg_py
from fontTools import subset
from PIL import Image

HERE = Path(__file__).parent

SIZE = 160
"""Width and height of a picture in pixels."""

FILL = 0.92
"""Share of the square that the longer side of the drawing takes."""

CHARACTERS = "".join(map(chr, range(0x20, 0x7F))) + "°·×÷–—‘’“”•…−←↑→↓"
"""What the fonts are cut down to; each keeps those of these that it has."""

FONTS = {
    "rounded": "@fontsource/fredoka/files/fredoka-latin-600-normal.woff2",
    "sans": "inter-ui/web/Inter-Bold.woff2",
    "serif": "@fontsource/roboto-slab/files/roboto-slab-latin-700-normal.woff2",
    "mono": "jetbrains-mono/fonts/webfonts/JetBrainsMonoNL-Bold.woff2",
}

ARTISTS = {
    "emojione": "emojione",
    "fluent": "fluent-emoji-flat",
    "fxemoji": "fxemoji",
    "noto": "noto",
    "notov1": "noto-v1",
    "streamline": "streamline-emojis",
    "twemoji": "twemoji",
}
"""Our file name -> the icon set in @iconify-json."""

# A class, the Unicode name of its emoji, its names in fxemoji and in streamline-emojis ("=": the same).
CLASSES = """
airplane    airplane                 =                      =
anchor      anchor                   =                      =
apple       red-apple                redapple               =
backpack    backpack                 schoolsatchel          school-backpack
balloon     balloon                  =                      =
bee         honeybee                 =                      =
bell        bell                     =                      =
bicycle     bicycle                  =                      =
book        closed-book              closedbook             green-book
bread       bread                    =                      =
cactus      cactus                   =                      cactus-1
cake        birthday-cake            birthdaycake           birthday-cake-1
candy       candy                    =                      =
car         automobile               =                      =
cat         cat-face                 cat                    =
cherry      cherries                 =                      =
clover      four-leaf-clover         fourleafclover         =
crown       crown                    =                      =
cup         hot-beverage             hotbeverage            hot-beverage-1
dog         dog-face                 dog                    =
donut       doughnut                 =                      doughnut-1
dress       dress                    =                      =
elephant    elephant                 =                      =
fire        fire                     =                      =
fish        fish                     =                      tropical-fish
flower      sunflower                =                      sunflower-1
frog        frog                     =                      frog-face
gift        wrapped-gift             present                wrapped-gift-1
glasses     glasses                  =                      glasses-1
globe       globe-showing-americas   americasglobe          =
grapes      grapes                   =                      =
guitar      guitar                   =                      =
hamburger   hamburger                =                      hamburger-2
heart       red-heart                redheart               heart-suit
horse       horse                    =                      =
hourglass   hourglass-done           hourglass              =
house       house                    housebuilding          house-with-garden
jeans       jeans                    =                      =
ladybug     lady-beetle              ladybeetle             =
monkey      monkey                   =                      =
mushroom    mushroom                 =                      =
pig         pig                      pigside                =
pizza       pizza                    sliceofpizza           pizza-1
pumpkin     jack-o-lantern           jackolantern           =
rabbit      rabbit-face              bunny                  =
rocket      rocket                   =                      =
shoe        mans-shoe                mensshoe               =
snail       snail                    =                      =
snake       snake                    =                      =
snowflake   snowflake                =                      =
strawberry  strawberry               =                      strawberry-1
telephone   telephone                blacktelephone         =
television  television               =                      =
train       locomotive               steamlocomotive        =
tree        christmas-tree           christmastree          =
turtle      turtle                   =                      =
umbrella    umbrella-with-rain-drops umbrellawithraindrops  =
watch       watch                    =                      =
watermelon  watermelon               =                      watermelon-1
wrench      wrench                   =                      =
"""


def svg(icons: dict[str, Any], name: str) -> str:
    """The drawing `name` of an icon set in Iconify's JSON format."""
    name = icons.get("aliases", {}).get(name, {}).get("parent", name)
    icon = icons["icons"][name]
    width, height = (icon.get(side, icons[side]) for side in ("width", "height"))
    left, top = (icon.get(side, 0) for side in ("left", "top"))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{4 * SIZE}" height="{4 * SIZE}" viewBox="{left} {top} {width} {height}">{icon["body"]}</svg>'
    )


def picture(drawing: str) -> Image.Image:
    """An SVG as an RGBA square: cropped to what is drawn, scaled to fill, centred on transparency."""
    big = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=drawing)))).convert("RGBA")
    cropped = big.crop(big.getchannel("A").point(lambda alpha: 255 * (alpha > 8)).getbbox())
    scale = FILL * SIZE / max(cropped.size)
    small = cropped.resize([round(scale * side) for side in cropped.size], Image.Resampling.LANCZOS)
    square = Image.new("RGBA", (SIZE, SIZE))
    square.paste(small, ((SIZE - small.width) // 2, (SIZE - small.height) // 2))
    return square


def save(image: Image.Image, path: Path) -> None:
    """Write a PNG of at most 128 colours, each with its own transparency, packed as small as it goes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = io.BytesIO()
    imagequant.quantize_pil_image(image, max_colors=128).save(packed, "PNG")
    path.write_bytes(oxipng.optimize_from_memory(packed.getvalue(), level=6, strip=oxipng.StripChunks.all()))


def pictures(packages: Path) -> None:
    """Write pictures/<class>/<artist>.png."""
    for artist, package in ARTISTS.items():
        icons = json.loads((packages / "@iconify-json" / package / "icons.json").read_text())
        for line in CLASSES.strip().splitlines():
            kind, name, *others = line.split()
            own = dict(zip(("fxemoji", "streamline"), others, strict=True)).get(artist, "=")
            save(picture(svg(icons, name if own == "=" else own)), HERE / "pictures" / kind / f"{artist}.png")


def fonts(packages: Path) -> None:
    """Write fonts/<role>.ttf with the CHARACTERS, the kerning, the names and the notices of the original."""
    options = subset.Options(layout_features=["kern"], hinting=False, name_IDs=["*"], notdef_outline=True)
    for role, source in FONTS.items():
        font = subset.load_font(packages / source, options)
        font.flavor = None
        cutter = subset.Subsetter(options)
        cutter.populate(text=CHARACTERS)
        cutter.subset(font)
        font.save(HERE / "fonts" / f"{role}.ttf")


if __name__ == "__main__":
    fonts(Path(sys.argv[1]))
    pictures(Path(sys.argv[1]))

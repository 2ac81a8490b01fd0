"""What ingredients are known to hold, against a table that was written for this test alone."""

import pytest
from lightrec_health.domain import ALLERGENS
from lightrec_health.ingredients import allergens

HOLDS = {
    "gluten": (
        "flour; all-purpose flour; self-rising flour; whole wheat flour; bread flour; bulgur; "
        "couscous; pearl barley; rye bread; spelt flour; semolina; seitan; pita; pita breads; "
        "naan; Greek pita breads; breadcrumbs; panko breadcrumbs; spaghetti; penne; macaroni; "
        "lasagna sheets; orzo; udon noodles; ramen; gnocchi; tempura batter; croutons; "
        "croissants; bagels; baguette; flour tortillas; filo pastry; phyllo dough; puff "
        "pastry; pie crust; pizza dough; graham crackers; saltines; pretzels; beer; lager; "
        "malt vinegar; wheat germ; bran flakes; oats; rolled oats; oatmeal; granola; muesli; "
        "farro; kamut; freekeh; soy sauce; hoisin sauce; teriyaki sauce; worcestershire "
        "sauce; oyster sauce; cake mix; Bisquick; brownies; cookies; ladyfingers; digestive "
        "biscuits; wonton wrappers; egg noodles; angel hair pasta; hamburger buns; crumpets; "
        "English muffins; matzo meal; brioche; focaccia; surimi; fish fingers; wheat bran; "
        "vital wheat gluten; seasoned breadcrumbs; dinner rolls; gingersnaps; dumplings; chow "
        "mein noodles; falafel mix; barley malt; ale; stuffing mix; cornbread mix; doughnuts; "
        "waffles; ravioli; flatbread; taco shells; onion rings; breaded cod; chicken tenders; "
        "miso; vegetarian haggis; shredded suet"
    ),
    "crustaceans": (
        "shrimp; prawns; king prawns; crab; crabmeat; lobster tails; crayfish; crawfish; "
        "langoustines; scampi; krill; shrimp paste; medium shrimp, shelled; soft-shell crab; "
        "surimi; seafood; red curry paste; tiger prawns; Dungeness crab; paella; shellfish; "
        "crab cakes"
    ),
    "eggs": (
        "egg; eggs; large eggs, beaten; egg whites; egg yolks; whites, beaten until frothy; "
        "mayonnaise; light mayonnaise; aioli; meringue; egg noodles; hollandaise; custard; "
        "pavlova; marzipan with egg white; quiche; eggnog; ice cream; tempura; tartar sauce; "
        "lemon curd; hard-boiled eggs; 3 yolks; brioche; nougat; marshmallows; egg wash; egg "
        "substitute; pancake mix; Miracle Whip; caesar dressing; quail eggs; surimi; "
        "meatballs; gnocchi; mousse; macarons"
    ),
    "fish": (
        "salmon; smoked salmon; tuna; canned tuna; cod; haddock; anchovies; anchovy fillets; "
        "sardines; mackerel; herring; kippers; trout; halibut; tilapia; sea bass; red "
        "snapper; sole; flounder; catfish; swordfish; monkfish; mahi-mahi; pollock; perch; "
        "carp; eel; whitebait; caviar; fish sauce; fish stock; Worcestershire sauce; bonito "
        "flakes; dashi; surimi; imitation crabmeat; caesar dressing; taramasalata; fish "
        "sticks; fish fillets; lox; pilchards; unflavored gelatin; Lea & Perrins "
        "Worcestershire Sauce; sprats; branzino; tinned fish; roe; gefilte fish; "
        "bouillabaisse; kimchi"
    ),
    "peanuts": (
        "peanuts; peanut butter; crunchy peanut butter; peanut oil; groundnuts; groundnut "
        "oil; satay sauce; peanut sauce; roasted peanuts; peanut flour; monkey nuts; peanut "
        "butter chips; Reese's peanut butter cups; mixed nuts; trail mix"
    ),
    "soy": (
        "soy sauce; light soy sauce; soya milk; soymilk; tofu; firm tofu; silken tofu; "
        "tempeh; edamame; miso; miso paste; natto; soybean oil; soy flour; tvp; tamari; "
        "teriyaki sauce; hoisin; textured vegetable protein; soy lecithin; soybeans; black "
        "bean sauce; bean curd; shoyu; okara; soy protein isolate; soya mince; yuba; miso "
        "soup"
    ),
    "milk": (
        "milk; whole milk; skim milk; buttermilk; butter; unsalted butter; ghee; cream; heavy "
        "cream; sour cream; half-and-half; creme fraiche; crème fraîche; yogurt; Greek "
        "yoghurt; kefir; cheese; brie; brie cheese; camembert; mozzarella; parmesan; "
        "Parmigiano-Reggiano; pecorino; feta; ricotta; mascarpone; paneer; halloumi; gouda; "
        "cheddar; gruyère; emmental; roquefort; gorgonzola; stilton; blue cheese; cream "
        "cheese; cottage cheese; queso fresco; provolone; monterey jack cheese; quark; "
        "labneh; tzatziki; whey powder; casein; ice cream; custard; dulce de leche; condensed "
        "milk; evaporated milk; milk powder; milk chocolate; pesto; naan; Velveeta; alfredo "
        "sauce; butterscotch; caramels; toffee; fudge; skyr; goat cheese; burrata; "
        "Philadelphia; whipped cream; lassi; cream of mushroom soup; asiago; havarti; "
        "manchego; raclette; cool whip; dry milk; bechamel; ranch dressing; margarine; mashed "
        "potatoes; praline; curds; ham and swiss; swiss cheese; American cheese; boursin; "
        "fontina; taleggio; cheese curds; Irish cream liqueur; lactose; clotted cream; butter "
        "beans in butter; cheesecake; gelato"
    ),
    "nuts": (
        "almonds; toasted almonds; slivered almonds; ground almonds; almond flour; almond "
        "milk; almond butter; marzipan; frangipane; amaretti; walnuts; walnut halves; pecans; "
        "crushed pecans; cashews; cashew nuts; hazelnuts; pistachios; macadamia nuts; brazil "
        "nuts; nuts; chopped nuts; mixed nuts; pesto; basil pesto; praline; nougat; Nutella; "
        "baklava; gianduja; nut butter; filberts; almond extract; granola; amaretto; hazelnut "
        "oil; walnut oil; cashew butter; orgeat; muesli; halva with pistachios; turron; "
        "macaroons; nut oil; dukkah; almond bark with almonds"
    ),
    "celery": (
        "celery; celery stalks; celery ribs, sliced; celery salt; celery seed; celeriac; "
        "celery root; stock cube; stock cubes; vegetable stock; vegetable broth; chicken "
        "bouillon cubes; bouillon granules; mirepoix; Old Bay Seasoning; vegetable juice; "
        "bouquet garni; minestrone soup; vegetable soup; Marmite; cream of celery soup; "
        "frozen mixed vegetables; onion soup mix"
    ),
    "mustard": (
        "mustard; Dijon mustard; dry mustard; mustard powder; mustard seeds; prepared yellow "
        "mustard; whole grain mustard; honey mustard; piccalilli; mustard greens; mayonnaise; "
        "curry powder; wholegrain mustard; mustard oil; English mustard; salad dressing; "
        "barbecue sauce"
    ),
    "sesame": (
        "sesame seeds; toasted sesame seeds; sesame oil; tahini; tahini (sesame seed paste); "
        "hummus; houmous; halva; halvah; baba ganoush; gomasio; za'atar; black sesame; "
        "falafel; dukkah; benne seeds; hoisin sauce; sesame paste; sesame bagels"
    ),
    "sulphites": (
        "wine; dry white wine; red wine; cooking wine; sherry; port; vermouth; champagne; "
        "brandy; cider; wine vinegar; red wine vinegar; balsamic vinegar; cider vinegar; "
        "vinegar; dried apricots; apricots, dried; raisins; golden raisins; sultanas; dried "
        "mango; dried pineapple; dried apples; prunes; sun-dried tomatoes; candied ginger; "
        "maraschino cherries; glace cherries; desiccated coconut; lemon juice; bottled lime "
        "juice; grape juice; molasses; pickles; pickle relish; sauerkraut; horseradish; "
        "gelatin; instant potato flakes; Dijon mustard; shrimp; pickled onions; candied peel; "
        "dried cherries; mirin; marsala; currants; olives; dried cranberries; white wine "
        "(nearly any kind); maraschino liqueur; sherry vinegar"
    ),
    "lupin": ("lupin flour; lupini beans; lupin; lupine; lupin beans"),
    "molluscs": (
        "squid; calamari; octopus; cuttlefish; squid ink; clams; baby clams; mussels; "
        "oysters; oyster sauce; scallops; sea scallops; snails; escargots; abalone; whelks; "
        "cockles; clam juice; conch; razor clams; limpets; seafood; paella; smoked oysters; "
        "baby squid; limpet"
    ),
}
"""Ingredients by what each holds, or may be expected to hold."""
FREE = (
    "salt; kosher salt; black pepper; freshly ground pepper; salt and pepper; water; ice "
    "water; sugar; brown sugar, firmly packed; powdered sugar; honey; maple syrup; olive "
    "oil; extra virgin olive oil; canola oil; coconut oil; vanilla; pure vanilla extract; "
    "baking soda; cream of tartar; cornstarch; active dry yeast; cocoa powder; cocoa "
    "butter; coffee; tea; rice; long grain rice; cooked brown rice; quinoa; millet; "
    "buckwheat; buckwheat flour; polenta; cornmeal; corn tortillas; rice noodles; rice "
    "flour; chickpea flour; tapioca; eggplant; eggplants; butternut squash; nutmeg; "
    "ground nutmeg; water chestnuts; butter beans; butter lettuce; oyster mushrooms; "
    "potatoes; sweet potatoes; onion; onions, chopped; 2 large onions, thinly sliced; "
    "garlic cloves, minced; carrots; tomatoes; diced tomatoes, undrained; tomato paste; "
    "spinach; kale; cabbage; broccoli florets; cauliflower; zucchini; cucumber; lettuce; "
    "mushrooms, sliced; bell peppers; jalapeño peppers; green beans; peas; black beans, "
    "rinsed and drained; kidney beans; chickpeas; lentils; corn; avocado; apples; "
    "bananas; ripe bananas, mashed; oranges; fresh lemon juice; limes; strawberries; "
    "blueberries; raspberries; peaches; pineapple; mango; pumpkin; beef; lean ground "
    "beef; chuck roast; pork chops; pork tenderloin; lamb; chicken; boneless skinless "
    "chicken breasts; chicken thighs; ground turkey; turkey; duck; basil; fresh basil, "
    "chopped; dried oregano; thyme; rosemary; parsley; cilantro; bay leaves; cinnamon; "
    "ground cumin; paprika; chili powder; turmeric; ginger; cloves; cardamom; cayenne "
    "pepper; red pepper flakes; garlic powder; onion powder; sunflower seeds; chia seeds; "
    "flax seeds; poppy seeds; pumpkin seeds; popcorn; asparagus; leeks; beets; artichoke "
    "hearts; sea salt; lard; green onions, chopped; fresh ginger, grated; rice milk"
)
"""Ingredients that hold none of the fourteen."""
UNKNOWN = (
    "(optional); $template2$; olive oil or 2 tablespoons $template2$; sauce; mix; secret "
    "spice; gluten-free flour; dairy-free spread; vegan cheese substitute; goldfish; "
    "Fischstäbchen; lait; beurre; chicken nuggets; apple pie; apple tart; apple danish; "
    "chicken salad; white; potato crisps; kimmelwick rolls; chicken bites; butterfish; "
    "milkfish; shrimpy thing; chestnutty bar; beef stew; chicken schnitzel; fried onions; "
    "orange liqueur; ice pops; bean dip; orange chicken; sweet and sour pork; hot cocoa "
    "mix; rice pilaf; duck sauce; butternuts; yeast extract"
)
"""Words that name no food, or one that may hold anything."""


def listed(names: str) -> list[str]:
    return names.split("; ")


@pytest.mark.parametrize("allergen", ALLERGENS)
def test_no_ingredient_that_holds_an_allergen_counts_as_free_of_it(allergen: str) -> None:
    found = {name: allergens([name]) or [] for name in listed(HOLDS[allergen])}
    missed = [name for name, held in found.items() if not {allergen, "unknown"} & {*held}]
    assert missed == []
    named = [name for name, held in found.items() if allergen in held]
    assert len(named) >= 0.9 * len(found), sorted({*found} - {*named})


def test_common_ingredients_that_hold_nothing_are_known() -> None:
    found = {name: allergens([name]) for name in listed(FREE)}
    assert {name: held for name, held in found.items() if held != ["none"]} == {}
    # Nothing of a list in which all is known and free changes that, and one more word does.
    assert allergens(listed(FREE)) == ["none"]
    assert allergens([*listed(FREE), "marzipan"]) == ["nuts"]
    assert allergens([*listed(FREE), "blorb"]) == ["unknown"]


def test_what_is_not_recognised_is_unknown() -> None:
    found = {name: allergens(["salt", name]) or () for name in ["", *listed(UNKNOWN)]}
    assert [name for name, held in found.items() if "unknown" not in held] == []


@pytest.mark.parametrize(
    ("ingredients", "found"),
    [
        (["crunchy peanut butter"], ["peanuts"]),
        (["coconut milk"], ["sulphites"]),
        (["beans, butter"], ["milk"]),
        (["peanut, butter"], ["peanuts", "milk"]),
        (["soy sauce (tamari)"], ["gluten", "soy"]),
        (["toasted ALMONDS", None], ["nuts", "unknown"]),
        (["butter or 1/2 cup $template2$"], ["milk", "unknown"]),
        ([], None),
        (None, None),
    ],
)
def test_what_is_found(ingredients: list[str | None] | None, found: list[str] | None) -> None:
    assert allergens(ingredients) == found

import pytest
from pydantic import BaseModel, model_validator

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.validation import validated


class Inner(BaseModel):
    count: int


class Outer(BaseModel):
    name: str
    inner: Inner = Inner(count=1)

    @model_validator(mode="after")
    def _not_alone(self):
        if self.name == "alone":
            raise ValueError("nobody is alone")
        return self


def test_values_that_fit_become_the_model():
    assert validated(Outer, {"name": "a", "inner": {"count": 3}}, "things") == Outer(name="a", inner=Inner(count=3))


def test_every_fault_is_named_by_its_place():
    with pytest.raises(InputError) as error:
        validated(Outer, {"inner": {"count": "many"}}, "things")
    said = str(error.value)
    assert said.startswith("things: name: Field required; inner.count: Input should be a valid integer")
    assert said.endswith(".")


@pytest.mark.parametrize(("values", "words"), [({"name": "alone"}, "nobody is alone"), (3, "valid dictionary")])
def test_a_fault_of_the_whole_has_the_name_of_the_whole(values, words):
    with pytest.raises(InputError, match=f"^things: file: .*{words}"):
        validated(Outer, values, "things", whole="file")

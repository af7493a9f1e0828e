#pragma once

#include "picture_model.h"

// <<fit>>.
inline constexpr picture_model::Contract kContract = {
    <<file>>, <<width>>, <<height>>, <<channels>>, "<<fit_word>>", "<<filter>>", <<takes_bytes>>, <<gives_bytes>>,
    <<count>>, <<scale>>f, <<zero_point>>, "<<head>>", <<threshold>>f, <<tolerance>>f,
};

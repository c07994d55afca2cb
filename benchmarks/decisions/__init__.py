"""How true the predictions are: logged decisions, replayed through the product's own code."""

"""The deploy target `docker`: an image, containers, a gateway."""
